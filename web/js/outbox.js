// Writes that wait until they are done.
import { taken } from './errors.js';
import { answer, write } from './keys.js';
import { exported, settled } from './wasm.js';

const KEY = Symbol('an outbox that is open');

export class Outbox extends EventTarget {
  #raw;

  constructor(key, raw) {
    super();
    if (key !== KEY) throw new TypeError('an outbox is made by the method outbox of a member');
    this.#raw = raw;
    this.#tell();
  }

  // Is for members alone.
  static over(raw) {
    return new Outbox(KEY, raw);
  }

  set(key, value) { return this.#push(write.set, key, value); }
  delete(given) { return this.#push(write.delete, given); }
  compareAndSet(key, expected, value) { return this.#push(write.compareAndSet, key, expected, value); }
  seqAppend(key, count, value) { return this.#push(write.seqAppend, key, count, value); }
  append(key, value) { return this.#push(write.append, key, value); }
  trimBefore(key, count) { return this.#push(write.trimBefore, key, count); }
  txn(txn) { return this.#push(write.txn, txn); }

  get state() {
    exported();
    return this.#raw.state();
  }

  pending() {
    exported();
    return this.#raw.pending().map(answer);
  }

  ticket(number) {
    exported();
    const done = this.#raw.done(number);
    return done && ticket(this.#raw, number, done);
  }

  async flush(options) {
    exported();
    const { signal } = options ?? {};
    return settled(this.#raw.flush(), signal);
  }

  resume() {
    exported();
    return this.#raw.resume();
  }

  async close() {
    exported();
    return settled(this.#raw.close());
  }

  #push(of, ...given) {
    exported();
    const number = taken(() => this.#raw.push(of(...given)));
    return ticket(this.#raw, number, this.#raw.done(number));
  }

  async #tell() {
    try {
      while (await settled(this.#raw.changed())) this.dispatchEvent(new Event('change'));
    } catch {
      // The module has ended: tickets tell so.
    }
    this.dispatchEvent(new Event('change'));
  }
}

function ticket(raw, number, promise) {
  const done = settled(promise).then(answer);
  // Nobody has to look at it.
  done.catch(() => {});
  return { number, done, get stored() { return settled(raw.stored(number)); } };
}
