// The package for browsers: the module and the worker are files beside this one.
import { load } from './wasm.js';

export { LiferaftError } from './errors.js';
export { Liferaft, Outbox } from './liferaft.js';
export { version } from './wasm.js';

export const init = (options) => load({
  wasm: () => new URL('./liferaft_web_bg.wasm', import.meta.url),
  worker: () => new URL('./worker.js', import.meta.url),
}, options);
