// Turns what pages say of keys into the lists that the module reads (`web/src/command.rs`), and what it answers
// (`web/src/reply.rs`) into what pages see.
import { fault, invalid } from './errors.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class Value {
  #text;

  constructor(bytes) {
    this.bytes = bytes;
  }

  get text() {
    this.#text ??= decoder.decode(this.bytes);
    return this.#text;
  }

  toString() {
    return this.text;
  }
}

class Read extends Value {
  constructor({ bytes, revision, ageMs }) {
    super(bytes);
    this.exists = bytes !== undefined;
    this.revision = revision;
    this.ageMs = ageMs;
  }

  get text() {
    return this.exists ? super.text : undefined;
  }
}

export function bytes(given, what = 'a key or a value') {
  if (typeof given === 'string') return encoder.encode(given);
  if (given instanceof Uint8Array) return given;
  throw invalid(`${what} is a string or a Uint8Array`);
}

export function text(given, what) {
  if (typeof given === 'string') return given;
  throw invalid(`${what} is a text`);
}

// A whole number, or `undefined` where it may be left out.
export function whole(given, what, max = Number.MAX_SAFE_INTEGER) {
  if (given === undefined || (Number.isInteger(given) && given >= 0 && given <= max)) return given;
  throw invalid(`${what} is a whole number from 0 to ${max}`);
}

const optional = (given) => (given === null || given === undefined ? undefined : bytes(given));

// A count as it is written.
function countOf(given) {
  if (given === 0 || given?.length === 0) return '0';
  const { length, incarnation } = given ?? {};
  if (!Number.isSafeInteger(length) || !Number.isSafeInteger(incarnation)) throw invalid('a count is 0, or what a call has returned as one');
  return `${length}@${incarnation}`;
}

function count(written) {
  const [length, incarnation = 0] = written.split('@').map(Number);
  return { length, incarnation };
}

export function keys(given) {
  if (typeof given === 'string' || given instanceof Uint8Array) return ['one', bytes(given)];
  if (given?.prefix !== undefined) return ['prefix', bytes(given.prefix)];
  if (given?.from !== undefined) return ['range', bytes(given.from), optional(given.to)];
  throw invalid('keys are one key, { prefix }, or { from, to }');
}

const scan = (given, { limit, after } = {}) => [keys(given), whole(limit, 'limit'), optional(after)];

// Writes.
export const write = {
  set: (key, value) => ['set', bytes(key), bytes(value)],
  delete: (given) => {
    const [kind, ...bounds] = keys(given);
    return kind === 'one' ? ['delete', ...bounds] : ['deleteKeys', [kind, ...bounds]];
  },
  compareAndSet: (key, expected, value) => ['compareAndSet', bytes(key), optional(expected), optional(value)],
  seqAppend: (key, at, value) => ['seqAppend', bytes(key), countOf(at), bytes(value)],
  append: (key, value) => ['append', bytes(key), bytes(value)],
  trimBefore: (key, at) => ['trimBefore', bytes(key), countOf(at)],
  txn: (txn) => {
    if (typeof txn !== 'object' || txn === null) throw invalid('a transaction is { if, then, else }');
    const { if: conditions = [], then = [], else: otherwise = [] } = txn;
    return ['txn', conditions.map(compare), then.map(step), otherwise.map(step)];
  },
  batch: (steps) => ['batch', steps.map(step)],
};

// Questions.
export const ask = {
  get: (key) => ['get', bytes(key)],
  entry: (key) => ['entry', bytes(key)],
  sequence: (key, from, limit) => ['sequence', bytes(key), whole(from, 'from') ?? 0, whole(limit, 'limit')],
  scan: (given, options = {}) => ['scan', ...scan(given, options), whole(options.revision, 'revision')],
};

function step(given) {
  if (given?.get !== undefined) return ask.get(given.get);
  if (given?.set !== undefined) return write.set(given.set, given.value);
  if (given?.delete !== undefined) return write.delete(given.delete);
  if (given?.compareAndSet !== undefined) return write.compareAndSet(given.compareAndSet, given.expected, given.value);
  if (given?.seqAppend !== undefined) return write.seqAppend(given.seqAppend, given.count, given.value);
  if (given?.append !== undefined) return write.append(given.append, given.value);
  if (given?.trimBefore !== undefined) return write.trimBefore(given.trimBefore, given.count);
  if (given?.scan !== undefined) return ['scan', ...scan(given.scan, given)];
  throw invalid('a step is { get }, { set, value }, { delete }, { compareAndSet, expected, value }, { seqAppend, count, value }, { append, value }, { trimBefore, count } or { scan }');
}

function compare(given) {
  const key = bytes(given?.key);
  if (given.value !== undefined) return ['value', key, bytes(given.value)];
  if (given.exists !== undefined) return ['exists', key, given.exists === true];
  if (given.count !== undefined) return ['count', key, countOf(given.count)];
  for (const what of ['version', 'modified', 'created']) {
    if (given[what] !== undefined) return [what, key, whole(given[what], what), order(given.order)];
  }
  throw invalid('a condition has a key, and value, exists, count, version, modified or created');
}

function order(given = '=') {
  if (['<', '=', '>'].includes(given)) return given;
  throw invalid('an order is <, = or >');
}

// What a read of a value has found.
export const read = (found) => new Read(found);

// An answer, with the bytes, counts and errors in it as pages see them.
export function answer(given) {
  const seen = { ...given };
  for (const name of ['key', 'value', 'current', 'after']) {
    if (seen[name] instanceof Uint8Array) seen[name] = new Value(seen[name]);
  }
  if (typeof seen.count === 'string') seen.count = count(seen.count);
  if (seen.values) seen.values = seen.values.map((value) => new Value(value));
  if (seen.entry) seen.entry = answer(seen.entry);
  for (const name of ['entries', 'changes']) {
    if (seen[name]) seen[name] = seen[name].map(answer);
  }
  if (seen.results) seen.results = seen.results.map((result) => (result.error ? fault(result.error) : answer(result)));
  return seen;
}
