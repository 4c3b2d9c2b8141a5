// Rings for the members of a page by a worker's timer: those of a hidden page are a second late and more, a worker's
// are not.
//
// The page's own timer stands behind it. A worker that was not loaded, is not allowed or has ended costs precision
// alone: no wait is lost.

// So much longer than the worker the page's timer takes, so that it rings for a worker that does not.
const GRACE_MS = 100;
// The longest wait that `setTimeout` understands: it rings at once for a longer one.
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

// Returns an alarm for `setAlarm` of the module, which calls `rung`, with a worker, or the one at this address. `warn`
// is told what is wrong with it.
export function alarmBy(given, rung, warn) {
  let worker;
  let timer;
  let keeper = 'page';
  const ring = (by) => { keeper = by; rung(); };
  const fail = () => { keeper = 'page'; warn('No worker keeps the time: while the page is hidden its timers are late.'); };
  try {
    worker = given instanceof Worker ? given : new Worker(given);
    worker.onmessage = () => ring('worker');
    worker.onerror = fail;
    // Asked once, so that it is known to be there before it is needed.
    worker.postMessage(0);
  } catch {
    // No worker is allowed here.
    fail();
  }
  return {
    // Rings after this many milliseconds; not at all without.
    set(delay) {
      clearTimeout(timer);
      const grace = keeper === 'worker' ? GRACE_MS : 0;
      if (delay !== undefined) timer = setTimeout(() => ring('page'), Math.min(delay + grace, TIMEOUT_MAX_MS));
      worker?.postMessage(delay);
    },
    // Returns who rang last: 'worker' or 'page'.
    keeper: () => keeper,
  };
}
