// The package in Node: a member in memory, and errors with a type for what Node does not have.
import assert from 'node:assert/strict';
import * as liferaft from '@liferaft/web';
import { WebSocket } from 'ws';
import { greet } from './member.js';

const { Liferaft, LiferaftError } = liferaft;
const isUnsupported = (error) => error instanceof LiferaftError && error.code === 'unsupported' && error.outcome === 'not-done';

assert.equal(await greet(liferaft, { WebSocket }), 'hello');
await assert.rejects(Liferaft.found({ storage: 'indexeddb' }), isUnsupported);
await assert.rejects(Liferaft.found({ signaling: 'ws://127.0.0.1:1/room' }), isUnsupported);
const node = await Liferaft.found();
assert.equal(node.storage.kind, 'memory');
await assert.rejects(async () => node.byHand.offer(), isUnsupported);
await node.stop();
console.log('ok: the package runs in Node');
// Nothing of a member that has stopped is waited for.
process.exit(0);
