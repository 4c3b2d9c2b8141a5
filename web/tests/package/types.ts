// What is written against the package is checked by its types, in all entries.
import { init, Liferaft, LiferaftError, type Options, type WatchEvent } from '@liferaft/web';
import * as inline from '@liferaft/web/inline';

const options: Options = { room: 'camp', storage: 'memory', electionTimeoutMs: 500 };

export async function all(signal: AbortSignal): Promise<string> {
  await init({ worker: false });
  await inline.init();
  await using node = await Liferaft.found(options);
  const role: 'voter' | 'learner' = await node.joined({ timeoutMs: 1_000, signal });
  const { revision } = await node.set('key', new Uint8Array([1]));
  const { swapped } = await node.compareAndSet('key', null, 'value');
  const found: string | undefined = (await node.get('key', { local: { maxAgeMs: 5 } })).text;
  const watch: AsyncIterableIterator<WatchEvent> = node.watch({ prefix: 'k' }, { from: revision + 1, signal });
  const outbox = await node.outbox('chat');
  const stored: boolean = await outbox.append('lines', 'one').stored;
  node.addEventListener('status', ({ detail }) => { const term: number = detail.term; return term; });
  try {
    // @ts-expect-error: a value is bytes or a text.
    await node.set('key', 1);
    // @ts-expect-error: there is no such storage.
    await Liferaft.found({ storage: 'disk' });
  } catch (error) {
    if (error instanceof LiferaftError && error.code === 'timeout') return error.outcome;
  }
  return [role, swapped, found, watch, stored].join();
}
