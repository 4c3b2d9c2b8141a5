// Keeps the time for a page, whose own timers are held up while it is hidden: answers once the last delay that was
// posted is over, in milliseconds. Without a delay it waits for the next one.
let timer;
onmessage = ({ data: delay }) => {
  clearTimeout(timer);
  if (delay !== undefined) timer = setTimeout(() => postMessage('rung'), delay);
};
