// Storage in IndexedDB, in Chromium: the conformance kits, and what befalls the databases of tabs. Run by `cargo xtask
// test --only browser`:
//
//   node storage.mjs RUNNER MODULE CHROMIUM MODULES RELOADS
//
// with wasm-bindgen's runner of tests, the compiled test, the browser, the folder of node_modules, and how often three
// tabs are reloaded.
import { check, endsWithin, launch, start } from './kit.mjs';

const [runner, module, chromium, modules, reloads] = process.argv.slice(2);
const end = endsWithin(140_000);
const MIB = 1 << 20;

// It serves the test at a free port, and leaves it to us to open a page.
process.env.NO_HEADLESS = '1';
process.env.WASM_BINDGEN_TEST_ADDRESS = '127.0.0.1:0';
const tests = await start(runner, [module], (line) => line.match(/http:\/\/127\.0\.0\.1:\d+/)?.[0]);
const browser = await launch(modules, chromium);

// A page of the tests' origin that runs none of them; `before` runs in it before anything else.
async function page(context, before) {
  const page = await context.newPage();
  page.on('pageerror', (error) => console.log('page:', error.message));
  await page.route('**/probe', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html>' }));
  if (before) await page.addInitScript(before);
  await load(page, () => page.goto(`${tests.said}/probe`));
  return page;
}

// Goes somewhere, and makes `window.take` from what the module exports.
async function load(page, go) {
  await go();
  await page.evaluate(async () => {
    const module = await import('/wasm-bindgen-test.js');
    await module.default('/wasm-bindgen-test_bg.wasm');
    window.take = async (room) => {
      window.probe = await module.Probe.open(room);
      return { id: probe.id, taken: probe.taken, damaged: probe.damaged, last: probe.last };
    };
  });
}

const take = (page, room) => page.evaluate((room) => take(room), room);
const name = (room, id) => `liferaft/${room}/${id}`;
// What a call of the storage fails with; nothing if it does not.
const fails = (page, call, ...numbers) => page.evaluate(async ([call, numbers]) => {
  try { await probe[call](...numbers); return ''; } catch (error) { return String(error); }
}, [call, numbers]);
const refused = (page, room) => take(page, room).then(() => '', (error) => error.message);
const begins = (text, kind, what) => check(text.startsWith(kind) || text.includes(`${kind}: `), `${what}: ${text.slice(0, 200)}`);

async function runs(what, story) {
  const began = Date.now();
  const context = await browser.newContext();
  await story(context);
  await context.close();
  console.log(`${what} (${Date.now() - began} ms)`);
}

try {
  await runs('both kits pass', async (context) => {
    const page = await context.newPage();
    await page.goto(tests.said);
    const result = () => document.getElementById('output')?.textContent.includes('test result: ');
    await page.waitForFunction(result, undefined, { timeout: 60_000 });
    const output = await page.textContent('#output');
    console.log(output);
    check(output.includes('test result: ok'), 'the storage keeps every promise');
  });

  await runs('a write is one strict transaction with one value', async (context) => {
    const tab = await page(context, () => {
      window.seen = [];
      const { transaction } = IDBDatabase.prototype;
      IDBDatabase.prototype.transaction = function (stores, mode, options) {
        seen.push([[...stores].join(), mode, options?.durability]);
        return transaction.call(this, stores, mode, options);
      };
      const { put } = IDBObjectStore.prototype;
      IDBObjectStore.prototype.put = function (...given) { seen.push('put'); return put.apply(this, given); };
    });
    await take(tab, 'one');
    const seen = await tab.evaluate(async () => { seen.length = 0; await probe.write(100); return seen; });
    check(JSON.stringify(seen) === JSON.stringify([['log', 'readwrite', 'strict'], 'put']), JSON.stringify(seen));
  });

  await runs(`three tabs are given their old servers in ${reloads} reloads`, async (context) => {
    const tabs = await Promise.all([page(context), page(context), page(context)]);
    const first = await Promise.all(tabs.map((tab) => take(tab, 'three')));
    check(new Set(first.map(({ id }) => id)).size === 3, 'three tabs are three servers');
    for (const tab of tabs) await tab.evaluate(() => probe.write(100));
    for (let reload = 0; reload < Number(reloads); reload++) {
      const again = await Promise.all(tabs.map(async (tab) => {
        await load(tab, () => tab.reload());
        return take(tab, 'three');
      }));
      const kept = again.every(({ id, taken, last }, at) => id === first[at].id && taken === 'Stored' && last === 1);
      check(kept, `after reload ${reload}: ${JSON.stringify(again)}`);
    }
    await tabs[0].close();
    const heir = await page(context);
    const left = await take(heir, 'three');
    check(left.id === first[0].id, 'another tab takes what a closed one has left');
    check(await heir.evaluate(() => probe.is_ours()), 'it is its own');
  });

  await runs('a database that is removed while it is open lets go, and is lost', async (context) => {
    const tab = await page(context);
    const { id } = await take(tab, 'removed');
    const other = await page(context);
    const removed = await other.evaluate((name) => new Promise((resolve) => {
      const request = indexedDB.deleteDatabase(name);
      request.onsuccess = () => resolve('removed');
      request.onerror = () => resolve('error');
      setTimeout(resolve, 5000, 'nothing');
    }), name('removed', id));
    check(removed === 'removed', `it does not hang: ${removed}`);
    begins(await fails(tab, 'write', 100), 'Lost', 'the write');
    begins(await fails(tab, 'write', 100), 'Stopped', 'the next write');
    await load(tab, () => tab.reload());
    const again = await take(tab, 'removed');
    check(again.id !== id && again.taken === 'NewAfterLoss', JSON.stringify(again));
  });

  await runs('site data that is cleared by the browser is lost', async (context) => {
    const tab = await page(context);
    const { id } = await take(tab, 'cleared');
    const devtools = await context.newCDPSession(tab);
    const origin = new URL(tests.said).origin;
    await devtools.send('Storage.clearDataForOrigin', { origin, storageTypes: 'indexeddb' });
    begins(await fails(tab, 'write', 100), 'Lost', 'the write');
    await load(tab, () => tab.reload());
    const again = await take(tab, 'cleared');
    check(again.id !== id && again.taken === 'NewAfterLoss', JSON.stringify(again));
  });

  await runs('a connection that is lost once is made again', async (context) => {
    const tab = await page(context);
    await take(tab, 'lost');
    await tab.evaluate(() => {
      const { transaction } = IDBDatabase.prototype;
      IDBDatabase.prototype.transaction = function () {
        IDBDatabase.prototype.transaction = transaction;
        throw new DOMException('the connection is closing', 'InvalidStateError');
      };
    });
    check(await fails(tab, 'write', 100) === '', 'the write is made');
    await load(tab, () => tab.reload());
    check((await take(tab, 'lost')).last === 1, 'once');
  });

  await runs('a quota stops a snapshot, and then the log', async (context) => {
    const tab = await page(context);
    // Before anything is stored: Chromium remembers for a while how much room there was.
    const devtools = await context.newCDPSession(tab);
    const origin = new URL(tests.said).origin;
    await devtools.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 6 * MIB });
    const { id } = await take(tab, 'quota');
    await tab.evaluate(() => probe.write(100));
    begins(await fails(tab, 'snapshot', 16 * MIB), 'Full', 'the snapshot');
    check(await tab.evaluate(() => probe.isLow), 'the storage is low');
    check(await fails(tab, 'write', 100) === '', 'the log goes on');
    begins(await fails(tab, 'write', 16 * MIB), 'Full', 'the entry');
    begins(await fails(tab, 'write', 100), 'Stopped', 'the next entry');
    await devtools.send('Storage.overrideQuotaForOrigin', { origin });
    await load(tab, () => tab.reload());
    const again = await take(tab, 'quota');
    check(again.id === id && again.last === 2, JSON.stringify(again));
    check(await fails(tab, 'snapshot', 3 * MIB) === '', 'with room again there is a snapshot');
  });

  await runs('where the browser stores nothing, that is said', async (context) => {
    const refusals = [
      () => { IDBFactory.prototype.open = () => { throw new DOMException('not in a private window', 'SecurityError'); }; },
      () => { IDBFactory.prototype.databases = () => Promise.reject(new DOMException('not in a private window', 'UnknownError')); },
      () => { Object.defineProperty(Navigator.prototype, 'locks', { get: () => undefined }); },
      () => { Object.defineProperty(window, 'indexedDB', { get: () => null }); },
      () => { LockManager.prototype.request = () => Promise.reject(new DOMException('not here', 'SecurityError')); },
    ];
    for (const before of refusals) begins(await refused(await page(context, before), 'private'), 'Unavailable', 'open');
  });

  await runs('an open that hangs is given up', async (context) => {
    const tab = await page(context);
    const { id } = await take(tab, 'hangs');
    await tab.evaluate(() => probe.close());
    // Another page has it open and does not let go, while somebody removes it: whoever opens it waits.
    await (await page(context)).evaluate((name) => new Promise((resolve) => {
      const request = indexedDB.open(name);
      request.onsuccess = () => {
        window.kept = request.result;
        indexedDB.deleteDatabase(name).onblocked = resolve;
      };
    }), name('hangs', id));
    begins(await refused(tab, 'hangs'), 'Unavailable', 'open');
  });

  await runs('a database of a later version is passed over, and stays', async (context) => {
    const tab = await page(context);
    const later = name('later', 'f'.repeat(32));
    await tab.evaluate((name) => new Promise((made) => {
      indexedDB.open(name, 2).onsuccess = ({ target }) => { target.result.close(); made(); };
    }), later);
    const { taken, damaged } = await take(tab, 'later');
    check(taken === 'New' && /Unsupported .*format: 2 /.test(damaged), `another server is made: ${taken} ${damaged}`);
    const stays = await tab.evaluate(async (name) => (await indexedDB.databases()).some((it) => it.name === name), later);
    check(stays, 'the database is there');
  });

  await runs('how long writes take', async (context) => {
    const tab = await page(context);
    await take(tab, 'time');
    const took = await tab.evaluate(async () => {
      const took = [];
      for (let i = 0; i < 100; i++) {
        const began = performance.now();
        await probe.write(256);
        took.push(performance.now() - began);
      }
      return took.sort((one, other) => one - other);
    });
    console.log(`100 strict writes of 256 B: p50 ${took[50].toFixed(2)} ms, p90 ${took[90].toFixed(2)} ms`);
  });
} finally {
  await browser.close();
  await tests.stop();
  end();
}
