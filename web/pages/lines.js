// What a line of the chat is: a value of the sequence `chat`, as JSON {v: 1, id, name, text, at}. Whoever can write to
// the cluster can write anything there, so that what is no such line is shown as the text that it is, and nothing that
// a line says of its author is proven.

export const SEQUENCE = 'chat';

// A line that is written is at most this long, in UTF-8.
export const LINE_BYTES_MAX = 4_096;
// More of a text or a name is not shown.
const TEXT_SHOWN_MAX = 4_096;
const NAME_SHOWN_MAX = 32;
const TIME_MAX = 8.64e15;

export function written({ id, name, text, at }) {
  const line = JSON.stringify({ v: 1, id, name, text, at });
  if (new TextEncoder().encode(line).length > LINE_BYTES_MAX) throw new RangeError('the message is too long');
  return line;
}

// Returns `{ id, name, text, at }`, of which `text` alone is always there.
export function parsed(value) {
  let line;
  try {
    line = JSON.parse(value);
  } catch {
    return { text: cut(value, TEXT_SHOWN_MAX) };
  }
  if (line?.v !== 1 || typeof line.text !== 'string') return { text: cut(value, TEXT_SHOWN_MAX) };
  const isTime = Number.isFinite(line.at) && Math.abs(line.at) <= TIME_MAX;
  return {
    id: typeof line.id === 'string' ? line.id : undefined,
    name: plain(line.name),
    text: cut(line.text, TEXT_SHOWN_MAX),
    at: isTime ? line.at : undefined,
  };
}

// A name as one line without characters that nobody sees, some of which turn the text around them; `undefined` if
// nothing is left of it.
export function plain(name) {
  if (typeof name !== 'string') return undefined;
  const seen = cut(name, 4 * NAME_SHOWN_MAX).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').trim();
  return cut(seen, NAME_SHOWN_MAX) || undefined;
}

function cut(text, characters) {
  const head = text.slice(0, 2 * characters + 2);
  const all = [...head];
  return all.length > characters || head.length < text.length ? `${all.slice(0, characters).join('')}…` : text;
}
