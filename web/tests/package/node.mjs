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
// Numbers of which the module has 32 bits were taken modulo 2^32.
for (const call of [() => node.outbox('wide', { bytesMax: 2 ** 32 }), () => node.outbox('wide', { commandsMax: 2 ** 32 }), () => node.invite({ uses: 2 ** 32 })]) {
  await assert.rejects(call, ({ code, outcome }) => code === 'invalid-argument' && outcome === 'not-done');
}
await node.stop();

// What is loaded is not unpacked again, which takes a while in the entry that has the module within.
const { atob, setTimeout } = globalThis;
globalThis.atob = () => assert.fail('the module is unpacked again');
await (await import('@liferaft/web/inline')).init();
globalThis.atob = atob;

// A wait that is longer than timers can have is as long as they can: they ring at once for it.
const { alarmBy } = await import(new URL('./node_modules/@liferaft/web/alarm.js', import.meta.url));
globalThis.Worker = class { postMessage() {} };
const worker = new Worker();
const alarm = alarmBy(worker, () => {}, assert.fail);
worker.onmessage();
const waits = [];
globalThis.setTimeout = (_, wait) => waits.push(wait);
alarm.set(2 ** 31 - 1);
globalThis.setTimeout = setTimeout;
assert.deepEqual(waits, [2 ** 31 - 1]);
console.log('ok: the package runs in Node');
// Nothing of a member that has stopped is waited for.
process.exit(0);
