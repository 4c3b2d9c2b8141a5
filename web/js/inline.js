// The package as one script: the module and the worker are in `embedded.js`, which is made when the package is.
import { wasm, worker } from './embedded.js';
import { load } from './wasm.js';

export { LiferaftError } from './errors.js';
export { Liferaft, Outbox } from './liferaft.js';
export { version } from './wasm.js';

export const init = (options) => load({
  wasm: () => Uint8Array.from(atob(wasm), (character) => character.charCodeAt(0)),
  // A page whose policy refuses it keeps time by itself.
  worker: () => URL.createObjectURL(new Blob([worker], { type: 'text/javascript' })),
}, options);
