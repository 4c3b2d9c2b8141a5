// The package for Node, where state is in memory and members are reached over WebSocket.
import { readFile } from 'node:fs/promises';

import { load } from './wasm.js';

export { LiferaftError } from './errors.js';
export { Liferaft, Outbox } from './liferaft.js';
export { version } from './wasm.js';

export const init = (options) => load({
  wasm: () => readFile(new URL('./liferaft_web_bg.wasm', import.meta.url)),
  worker: () => false,
}, options);
