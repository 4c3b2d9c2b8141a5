// State machines of pages.
import { LiferaftError, invalid } from './errors.js';
import { bytes } from './keys.js';

const METHODS = ['apply', 'query', 'snapshot', 'restore'];

// A machine as the module calls it. The member of one that throws in `apply` or `snapshot` stops: its state is not that
// of the others any more.
export class Guarded {
  // What it has thrown.
  error;
  #machine;

  constructor(machine) {
    if (METHODS.some((method) => typeof machine[method] !== 'function')) throw invalid(`a machine has the methods ${METHODS.join(', ')}`);
    this.#machine = machine;
  }

  apply(command, context) {
    return this.#attempt(`at entry ${context.index}`, () => bytes(this.#machine.apply(command, context), 'a reply'));
  }

  query(question) {
    return bytes(this.#machine.query(question), 'an answer');
  }

  snapshot() {
    return this.#attempt('over a snapshot', () => bytes(this.#machine.snapshot(), 'a snapshot'));
  }

  restore(state) {
    this.#machine.restore(state);
  }

  failure() {
    return this.error?.message;
  }

  #attempt(when, act) {
    try {
      return act();
    } catch (error) {
      this.error = new LiferaftError('machine', `the state machine threw ${when}: ${error?.message ?? error}`, 'unknown', { error });
      return undefined;
    }
  }
}
