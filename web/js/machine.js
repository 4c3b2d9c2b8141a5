// State machines of pages.
import { LiferaftError, invalid } from './errors.js';
import { bytes } from './keys.js';

const METHODS = ['apply', 'query', 'snapshot', 'restore'];

// A machine as the module calls it. One that throws in `apply` is asked nothing any more: its state is not that of the
// others, and its member stops.
export class Guarded {
  #machine;
  #error;
  #tell = () => {};

  constructor(machine) {
    if (METHODS.some((method) => typeof machine[method] !== 'function')) throw invalid(`a machine has the methods ${METHODS.join(', ')}`);
    this.#machine = machine;
  }

  // Calls `tell` with the error once the machine has thrown, also if it has before.
  onFailure(tell) {
    this.#tell = tell;
    if (this.#error) tell(this.#error);
  }

  // Throws if the machine has thrown.
  check() {
    if (this.#error) throw this.#error;
  }

  apply(command, context) {
    if (this.#error) return undefined;
    try {
      return bytes(this.#machine.apply(command, context), 'a reply');
    } catch (error) {
      this.#error = new LiferaftError('machine', `the state machine threw at entry ${context.index}: ${error?.message ?? error}`, 'unknown', { error });
      // Not now: the module is at work.
      Promise.resolve(this.#error).then(this.#tell);
      return undefined;
    }
  }

  query(question) {
    this.check();
    return bytes(this.#machine.query(question), 'an answer');
  }

  snapshot() {
    this.check();
    return bytes(this.#machine.snapshot(), 'a snapshot');
  }

  restore(state) {
    this.#machine.restore(state);
  }
}
