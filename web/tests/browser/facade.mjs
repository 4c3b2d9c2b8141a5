// The package in pages: two tabs of one browser found a cluster and join it without any server, write and read by every
// call, watch, keep writes in an outbox over a reload, come back as who they were, and leave. Run by
// `cargo xtask test --only browser`:
//
//   node facade.mjs CHROMIUM MODULES SITE
//
// with the browser, the folder of node_modules, and the folder that `cargo xtask web` makes.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { check, endsWithin, launch, serveFiles, told } from './kit.mjs';

const [chromium, modules, site] = process.argv.slice(2);
const end = endsWithin(90_000);
const files = await serveFiles(site);
files.add('blank.html', '<!doctype html><title>blank</title>');
files.add('wrong.wasm.txt', 'no module');
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
files.add('readme.html', readme.match(/```html\n([^]*?)```/)[1].replace('./node_modules/@liferaft/web/', './'));
const { decodeQR } = await import(pathToFileURL(path.join(path.resolve(modules), 'qr/decode.js')).href);
const browser = await launch(modules, chromium);
const context = await browser.newContext();
const same = (found, wanted, what) => check(JSON.stringify(found) === JSON.stringify(wanted), `${what}: ${JSON.stringify(found)}`);

// More than its README's page reads at a time.
const MANY_NOTES = Array.from({ length: 150 }, (_, index) => `note ${index}`);

// A page with the package as `liferaft`, and what the others of this test do in it.
async function open(page) {
  page ??= await context.newPage();
  page.on('pageerror', (error) => console.error(`page: ${error}`));
  await page.goto(`${files.origin}/blank.html`);
  await page.evaluate(async () => {
    globalThis.liferaft = await import('./index.js');
    await liferaft.init();
    // What became of a call, in values that leave the page.
    globalThis.outcome = (promise) => promise.then(() => 'done', ({ name, code, outcome }) => `${name} ${code} ${outcome}`);
    globalThis.until = (target, type, holds) => new Promise((met) => {
      const look = () => { if (holds()) { target.removeEventListener(type, look); met(); } };
      target.addEventListener(type, look);
      look();
    });
    // Has the page wake again and again until a call is over. Locks are looked up slowly meanwhile: a storage that is
    // closed waits for that, and answers no.
    globalThis.waking = async (call) => {
      const { query } = LockManager.prototype;
      LockManager.prototype.query = async function () {
        await new Promise((later) => setTimeout(later, 50));
        return query.call(this);
      };
      let isOver = false;
      const over = () => { isOver = true; LockManager.prototype.query = query; };
      call.then(over, over);
      while (!isOver) {
        document.dispatchEvent(new Event('resume'));
        await new Promise((later) => setTimeout(later));
      }
      return call;
    };
    // A machine that tells the time of the cluster, and the entry at which it was that.
    globalThis.clock = { apply: (_, { timeMs, index }) => `${timeMs} ${index}`, query: () => '', snapshot: () => '', restore: () => {} };
    // A machine that counts its commands, and how often it was restored.
    globalThis.tally = {
      count: 0,
      restores: 0,
      apply() { this.count += 1; return ''; },
      query() { return String(this.count); },
      snapshot() { return String(this.count); },
      restore(state) { this.restores += 1; this.count = Number(new TextDecoder().decode(state)); },
    };
  });
  return page;
}

// A reload that comes back before the store is read again is what a browser does: nothing is waited for.
const again = (page) => open(page);

await told(browser, async () => {
  const ada = await open();
  const unready = await ada.evaluate(async () => {
    const frame = document.createElement('iframe');
    frame.src = './blank.html';
    document.body.append(frame);
    await new Promise((loaded) => { frame.onload = loaded; });
    const other = await frame.contentWindow.eval("import('./index.js')");
    const early = await outcome(other.Liferaft.found());
    const forgotten = await outcome(other.Liferaft.forget('camp', '0x1'));
    const wrong = await outcome(other.init({ wasm: './wrong.wasm.txt' }));
    const missing = await outcome(other.init({ wasm: './missing.wasm' }));
    const empty = await outcome(other.init({ wasm: new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) }));
    frame.remove();
    return [early, forgotten, wrong, missing, empty];
  });
  same(unready.slice(0, 2), Array(2).fill('LiferaftError invalid-argument not-done'), 'nothing is done before init');
  same(unready.slice(2), ['invalid-argument', 'unreachable', 'version'].map((code) => `LiferaftError ${code} not-done`), 'what is no module of the package is an error');

  const founded = await ada.evaluate(async () => {
    const { Liferaft } = liferaft;
    globalThis.node = await Liferaft.found({ room: 'camp', name: 'Ada', electionTimeoutMs: 500 });
    const events = [];
    node.addEventListener('event', ({ detail }) => events.push(detail.type));
    const joined = await node.joined();
    return { joined, id: node.id, storage: node.storage.kind, taken: node.storage.taken, leads: node.status.leader === node.id || events, warnings: node.warnings };
  });
  same({ ...founded, id: '' }, { joined: 'voter', id: '', storage: 'indexeddb', taken: 'new', leads: true, warnings: [] }, 'a tab founds, in IndexedDB');

  const calls = await ada.evaluate(async () => {
    const none = await node.get('captain');
    const first = await node.set('captain', 'Ada');
    const found = await node.get('captain');
    const local = await node.get('captain', { local: true });
    const young = await node.get('captain', { local: { maxAgeMs: 5_000 } });
    const swapped = await node.compareAndSet('captain', 'Ada', new Uint8Array([66, 111, 98]));
    const kept = await node.compareAndSet('captain', 'Ada', null);
    const place = await node.append('log', 'one');
    const early = await node.seqAppend('log', 0, 'never');
    const appended = await node.seqAppend('log', early.count, 'two');
    const part = await node.readSequence('log', 0, 10);
    const trimmed = await node.trimBefore('log', place.place === 0 ? { ...part.count, length: 1 } : 0);
    const entry = await node.entry('captain');
    const txn = await node.txn({
      if: [{ key: 'captain', value: 'Bob' }, { key: 'nobody', exists: false }, { key: 'log', count: part.count }],
      then: [{ set: 'tents/1', value: 'Bob' }, { append: 'log', value: 'three' }, { get: 'captain' }, { scan: { prefix: 'tents/' } }],
      else: [{ delete: 'captain' }],
    });
    const batch = await node.batch([{ append: 'captain', value: 'no sequence' }, { set: 'tents/2', value: 'Eve' }]);
    const page = await node.scan({ prefix: 'tents/' }, { limit: 1 });
    const rest = await node.scan({ prefix: 'tents/' }, { after: page.after.bytes });
    const past = await node.scan({ prefix: 'tents/' }, { revision: first.revision });
    const gone = await node.delete({ prefix: 'tents/' });
    const one = await node.delete('captain');
    return {
      none: [none.exists, none.text ?? null],
      found: [found.exists, found.text, local.text, young.ageMs <= 5_000, typeof found.ageMs],
      swapped: [swapped.swapped, kept.swapped, kept.current.text],
      sequence: [place.place, early.appended, early.count.length, appended.appended, appended.count.length, part.values.map(({ text }) => text), part.first],
      trimmed: [trimmed.trimmed, trimmed.first],
      entry: [entry.key.text, entry.value.text, entry.version, entry.created === first.revision],
      txn: [txn.succeeded, txn.results.length, txn.results[1].place, txn.results[2].entry.value.text, txn.results[3].entries.map(({ key }) => key.text)],
      batch: [batch.results[0].code, Object.keys(batch.results[1]).length],
      scan: [page.entries.map(({ key }) => key.text), rest.entries.map(({ key }) => key.text), rest.after ?? null, past.entries.length],
      deleted: [gone.deleted, gone.more, one.deleted],
    };
  });
  same(calls, {
    none: [false, null],
    found: [true, 'Ada', 'Ada', true, 'undefined'],
    swapped: [true, false, 'Bob'],
    sequence: [0, false, 1, true, 2, ['one', 'two'], 0],
    trimmed: [1, 1],
    entry: ['captain', 'Bob', 2, true],
    txn: [true, 4, 2, 'Bob', ['tents/1']],
    batch: ['refused', 0],
    scan: [['tents/1'], ['tents/2'], null, 0],
    deleted: [2, false, 1],
  }, 'each call does what it says');

  const refused = await ada.evaluate(async () => {
    const stop = new AbortController();
    stop.abort('enough');
    return [
      await outcome(node.get(7)),
      await outcome(node.set('k'.repeat(5_000), 'v')),
      await outcome(node.get('log')),
      await outcome(node.set('', 'v')),
      await outcome(node.get('log', { signal: stop.signal })),
      await outcome(node.transferLeadership()),
      await outcome(node.transferLeadership('nobody')),
      await outcome(liferaft.Liferaft.join('liferaft:x')),
      await outcome(node.propose?.('x') ?? Promise.resolve()),
    ];
  });
  same(refused.slice(0, 8), [
    'LiferaftError invalid-argument not-done',
    'LiferaftError too-large not-done',
    'LiferaftError refused not-done',
    'LiferaftError invalid-argument not-done',
    'LiferaftError aborted not-done',
    'LiferaftError refused not-done',
    'LiferaftError invalid-argument not-done',
    'LiferaftError invalid-invitation not-done',
  ], 'errors have codes and outcomes');
  const mistaken = await ada.evaluate(() => Promise.all([
    liferaft.Liferaft.found(null),
    node.txn({ then: 5 }),
    node.batch(),
    node.scan({ prefix: 'k' }, null),
    node.remove(),
    node.transferLeadership(5),
    node.byHand.take(),
    node.outbox(5),
    node.get('k', { signal: 5 }),
  ].map(outcome)));
  same(mistaken, mistaken.map(() => 'LiferaftError invalid-argument not-done'), 'so have those over arguments of another type');

  const seen = await ada.evaluate(async () => {
    const { revision } = await node.set('watched/a', '1');
    const changes = node.watch({ prefix: 'watched/' }, { from: revision });
    await node.delete('watched/a');
    await node.append('watched/b', 'x');
    const told = [];
    for await (const event of changes) {
      if (event.type === 'changes') told.push(...event.changes.map(({ type, key, value, count }) => [type, key.text, value?.text ?? null, count?.length ?? null]));
      if (told.length === 3) break;
    }
    const stop = new AbortController();
    const ended = node.watch('nothing', { signal: stop.signal });
    await ended.next();
    const waiting = ended.next();
    stop.abort();
    return [told, (await waiting).done];
  });
  same(seen, [[['set', 'watched/a', '1', null], ['deleted', 'watched/a', null, null], ['appended', 'watched/b', 'x', 1]], true], 'a watch tells each change, and ends');

  const invitation = await ada.evaluate(async () => {
    const { text, link, qr } = await node.invite();
    const other = await node.invite();
    const svg = qr.svg(document);
    // As a page draws it, 4 pixels a module.
    const side = 4 * (qr.size + 8);
    svg.setAttribute('width', side);
    const drawn = new Image(side, side);
    drawn.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`;
    await drawn.decode();
    const paper = new OffscreenCanvas(side, side).getContext('2d');
    paper.fillStyle = 'white';
    paper.fillRect(0, 0, side, side);
    paper.drawImage(drawn, 0, 0, side, side);
    const picture = { width: side, height: side, data: [...paper.getImageData(0, 0, side, side).data] };
    return { picture, link, text, isLink: link.startsWith(`${location.origin}/blank.html#`), size: qr.size, dark: [qr.isDark(0, 0), qr.isDark(-1, 0), qr.isDark(1, 1)], svg: svg.outerHTML.includes('viewBox="-4 -4 '), isSame: other.text === text };
  });
  const { picture, link } = invitation;
  check(decodeQR({ ...picture, data: Uint8Array.from(picture.data) }) === link, 'its code, as it is drawn, is the link');
  same({ ...invitation, picture: '', link: '', text: '', size: invitation.size > 20 }, { picture: '', link: '', text: '', isLink: true, size: true, dark: [true, false, false], svg: true, isSame: true }, 'it invites by a link and a code, always by one token');

  const bob = await open();
  const joined = await bob.evaluate(async (text) => {
    globalThis.node = await liferaft.Liferaft.join(text, { room: 'camp', name: 'Bob', electionTimeoutMs: 500 });
    // Queued before anybody is reached.
    globalThis.outbox = await node.outbox();
    const ticket = outbox.append('lines', 'Bob is here');
    const pending = outbox.pending().map(({ state, operation, key, value }) => [state, operation, key.text, value.text]);
    const role = await node.joined({ timeoutMs: 30_000 });
    const { place } = await ticket.done;
    await outbox.flush();
    return { role, pending, place, isStored: await ticket.stored, left: outbox.pending().length, state: outbox.state };
  }, invitation.text);
  same(joined, { role: 'voter', pending: [['waiting', 'append', 'lines', 'Bob is here']], place: 0, isStored: true, left: 0, state: 'running' }, 'a second tab joins without any server');

  const members = await ada.evaluate(() => node.members().map(({ name, role, isSelf, link }) => [name, role, isSelf, link?.path.split(' ')[0] ?? null]).sort());
  same(members, [['Ada', 'leader', true, null], ['Bob', 'voter', false, 'rtc']], 'they know each other by name');
  const counted = await ada.evaluate(() => { const { appendsSent, appendsReceived } = node.status.messages; return appendsSent > 0 && appendsReceived === 0; });
  check(counted, 'messages are counted');

  const handed = await ada.evaluate(async () => {
    const to = await node.transferLeadership();
    await until(node, 'status', () => !node.status.isLeader && node.status.leader === to);
    return to;
  });
  check(await bob.evaluate(() => node.id) === handed, 'leadership is handed over');
  const leftTo = await bob.evaluate(async () => {
    dispatchEvent(new Event('pagehide'));
    await until(node, 'status', () => node.status.leader && !node.status.isLeader);
    return node.status.leader;
  });
  check(leftTo === founded.id, 'also by a page that is about to be left');

  // Two voters of two: without Bob nothing is done, and all waits.
  await bob.close();
  const waiting = await ada.evaluate(async () => {
    const late = await outcome(node.set('late', '1', { timeoutMs: 300 }));
    await until(node, 'status', () => node.status.leader === undefined);
    const unled = await outcome(node.transferLeadership(undefined, { timeoutMs: 300 }));
    const stop = new AbortController();
    const aborted = outcome(node.set('late', '2', { signal: stop.signal }));
    stop.abort('enough');
    globalThis.outbox = await node.outbox('lines');
    const tickets = ['one', 'two'].map((line) => outbox.append('lines', line));
    await Promise.all(tickets.map(({ stored }) => stored));
    return [late.replace(/unknown|not-done/, 'in time'), unled, await aborted, outbox.pending().length];
  });
  same(waiting, ['LiferaftError timeout in time', 'LiferaftError timeout not-done', 'LiferaftError aborted unknown', 2], 'without the other one, calls end in time and the outbox waits');
  await again(ada);
  const bobAgain = await open();
  const back = await ada.evaluate(async () => {
    globalThis.node = await liferaft.Liferaft.resume({ room: 'camp', name: 'Ada', electionTimeoutMs: 500 });
    globalThis.outbox = await node.outbox('lines');
    return { id: node.id, taken: node.storage.taken, pending: outbox.pending().map(({ value, isStored }) => [value.text, isStored]) };
  });
  same(back, { id: founded.id, taken: 'stored', pending: [['one', true], ['two', true]] }, 'a reloaded tab is who it was, with what waited');
  const bobBack = await bobAgain.evaluate(async () => {
    globalThis.node = await liferaft.Liferaft.resume({ room: 'camp', name: 'Bob', electionTimeoutMs: 500 });
    await node.joined({ timeoutMs: 30_000 });
    return node.id;
  });
  check(bobBack === handed, 'and so is the other one, in another tab');
  const lines = await ada.evaluate(async () => {
    await outbox.flush();
    return (await node.readSequence('lines', 0, 10)).values.map(({ text }) => text);
  });
  same(lines, ['Bob is here', 'one', 'two'], 'what waited is done once, in order');
  const unwanted = await bobAgain.evaluate(async (text) => {
    const stop = new AbortController();
    const joining = outcome(liferaft.Liferaft.join(text, { room: 'unwanted', signal: stop.signal }));
    stop.abort('enough');
    const is = (name) => name.startsWith('liferaft/unwanted/');
    const begun = async () => (await indexedDB.databases()).some(({ name }) => is(name));
    const runs = async () => (await navigator.locks.query()).held.some(({ name }) => is(name));
    const later = () => new Promise((over) => setTimeout(over, 20));
    while (!await begun()) await later();
    while (await runs()) await later();
    return joining;
  }, invitation.text);
  check(unwanted === 'LiferaftError aborted unknown', 'a join that is aborted leaves no member that runs');
  check(await bobAgain.evaluate(async () => await liferaft.Liferaft.resume({ room: 'elsewhere' }) === undefined), 'where nothing is stored there is nobody to go on as');

  const left = await bobAgain.evaluate(async () => {
    let why;
    node.addEventListener('stopped', ({ detail }) => { why = detail.code; });
    // The word of a storage that is closed was taken for the reason.
    await waking(node.leave({ timeoutMs: 20_000 }));
    const next = await liferaft.Liferaft.resume({ room: 'camp' });
    return [why, await outcome(node.get('lines')), next?.id ?? 'nobody'];
  });
  same(left, ['stopped', 'LiferaftError stopped not-done', 'nobody'], 'a member leaves and stops, and nobody goes on as it');
  const alone = await ada.evaluate(async () => {
    await until(node, 'status', () => node.status.voters.length === 1);
    await node.set('alone', 'yes');
    const left = await outcome(node.leave());
    await node.stop();
    await node.stop();
    return [left, node.status.role];
  });
  check(alone[0] === 'LiferaftError only-voter not-done', 'the last one does not leave');

  const woken = await ada.evaluate(async () => {
    const own = await liferaft.Liferaft.found({ room: 'woken' });
    await own.joined();
    const why = new Promise((stopped) => own.addEventListener('stopped', ({ detail }) => stopped(detail.code)));
    await waking(own.stop());
    return why;
  });
  same(woken, 'stopped', 'a page that wakes while its member stops does not say why it did');

  // A member whose invitation was over gave it to others for ever.
  const anew = await ada.evaluate(async () => {
    const { Liferaft } = liferaft;
    const founder = await Liferaft.found({ room: 'brief', machine: clock });
    await founder.joined();
    const brief = await founder.invite({ validForMs: 500 });
    await founder.stop();
    // The same server, which has the token of the invitation then.
    globalThis.own = await Liferaft.join(brief.text, { room: 'brief', machine: clock });
    await own.joined();
    const now = async () => (await own.propose('')).text.split(' ').map(Number);
    const over = (await now())[0] + 500;
    let [time, index] = [0, 0];
    while (time < over) [time, index] = await now();
    await until(own, 'status', () => own.status.applied >= index);
    const invitation = await own.invite();
    return { text: invitation.text, isAnother: invitation.text !== brief.text, isKept: (await own.invite()).text === invitation.text };
  });
  same({ ...anew, text: '' }, { text: '', isAnother: true, isKept: true }, 'a member invites by another token once the one that it has has expired');
  const late = await bobAgain.evaluate(async (text) => {
    const own = await liferaft.Liferaft.join(text, { room: 'brief', machine: clock });
    return own.joined({ timeoutMs: 30_000 });
  }, anew.text);
  same(late, 'voter', 'which lets others in');
  await ada.evaluate(() => own.stop());

  const first = await context.newPage();
  await first.goto(`${files.origin}/readme.html`);
  await first.waitForFunction(() => document.querySelector('#link').href !== '');
  const second = await context.newPage();
  await second.goto(await first.evaluate(() => document.querySelector('#link').href));
  await second.waitForFunction(() => document.querySelector('#link').href !== '');
  await second.fill('#note', '<b>milk</b>');
  await second.press('#note', 'Enter');
  await first.waitForFunction(() => document.querySelector('#notes li')?.textContent === '<b>milk</b>');
  check(true, 'the page in the package\'s README works as it stands');
  const third = await context.newPage();
  await third.goto(`${files.origin}/readme.html`);
  await third.waitForFunction(() => document.querySelector('#notes li')?.textContent === '<b>milk</b>');
  await third.waitForFunction(() => document.querySelector('#link').href !== '');
  check(true, 'a tab at its address is in the same room');
  await third.evaluate((notes) => {
    for (const note of notes) { document.querySelector('#note').value = note; document.querySelector('#add').requestSubmit(); }
  }, MANY_NOTES);
  const hasAll = (count) => document.querySelectorAll('#notes li').length === count;
  await Promise.all([first, second, third].map((page) => page.waitForFunction(hasAll, 1 + MANY_NOTES.length)));
  await Promise.all([first.close(), second.close()]);
  await third.reload();
  // What was committed just before may not be known to be so until another one is there.
  await third.waitForFunction(() => document.querySelector('#notes li')?.textContent === '<b>milk</b>');
  check(await third.evaluate(() => document.querySelector('#link').href === ''), 'alone it shows what it knows to be noted, and has no link');
  await third.fill('#note', 'bread');
  await third.press('#note', 'Enter');
  await third.waitForFunction(() => document.querySelector('#waiting').textContent === 'bread');
  check(true, 'and a note that waits');
  const fourth = await context.newPage();
  await fourth.goto(`${files.origin}/readme.html`);
  await Promise.all([third, fourth].map((page) => page.waitForFunction(() => document.querySelector('#link').href !== '')));
  await Promise.all([third, fourth].map((page) => page.waitForFunction(hasAll, 1 + MANY_NOTES.length + 1)));
  await third.waitForFunction(() => document.querySelector('#waiting').textContent === '');
  check(true, 'with another one it goes on, and shows all notes');
  await Promise.all([third.close(), fourth.close()]);

  for (const wakes of ['resume', 'pageshow']) {
    const robbed = await ada.evaluate(async (wakes) => {
      const own = await liferaft.Liferaft.found({ room: 'robbed', signaling: 'ws://127.0.0.1:9/room' });
      const signaling = own.status.signaling;
      const why = new Promise((stopped) => own.addEventListener('stopped', ({ detail }) => stopped(detail.code)));
      const { held } = await navigator.locks.query();
      const { name } = held.find((lock) => lock.name.startsWith('liferaft/robbed/'));
      const stolen = new Promise((granted) => { navigator.locks.request(name, { steal: true }, granted).catch(() => {}); });
      await stolen;
      (wakes === 'resume' ? document : globalThis).dispatchEvent(new Event(wakes));
      return [await why, signaling];
    }, wakes);
    same(robbed, ['storage-lost', [{ address: 'ws://127.0.0.1:9/room', isConnected: false }]], `a page that goes on (${wakes}) without its lock stops its member`);
  }

  const lost = await ada.evaluate(async () => {
    const own = await liferaft.Liferaft.found({ room: 'lost' });
    await own.joined();
    const why = new Promise((stopped) => own.addEventListener('stopped', ({ detail }) => stopped(detail.code)));
    indexedDB.deleteDatabase(`liferaft/lost/${own.id.slice(2)}`);
    await outcome(own.set('a', 'b'));
    return why;
  });
  same(lost, 'storage-lost', 'a member whose storage was removed says so');

  // A member alone in memory is answered without an event of the browser's, in whose turns a snapshot is made: a page
  // that did not rest between its calls had a log without end, until the module had no memory left. A leader keeps 16 MiB
  // of its log for others: with more than that before its snapshot, who joins needs the snapshot.
  const large = await ada.evaluate(async () => {
    globalThis.own = await liferaft.Liferaft.found({ room: 'large', storage: 'memory', machine: tally });
    await own.joined();
    while (own.status.snapshot < 40) await own.propose(new Uint8Array(500_000));
    return { text: (await own.invite()).text, count: (await own.query('')).text };
  });
  check(true, `a member alone takes a snapshot of what a page proposes without a rest: ${large.count} commands`);
  const restoring = bobAgain.evaluate(async (text) => {
    const own = await liferaft.Liferaft.join(text, { room: 'large', machine: tally });
    await own.joined({ timeoutMs: 30_000 });
    return [tally.restores, (await own.query('')).text, (await own.query('', { local: true })).text];
  }, large.text);

  const damaged = await ada.evaluate(async (text) => {
    const { Liferaft } = liferaft;
    const own = await Liferaft.found({ room: 'damaged' });
    await own.stop();
    const opened = indexedDB.open(`liferaft/damaged/${own.id.slice(2)}`);
    await new Promise((done) => { opened.onsuccess = done; });
    const reading = opened.result.transaction('server').objectStore('server').get('pair');
    await new Promise((done) => { reading.onsuccess = done; });
    const { type, extractable } = reading.result.privateKey;
    const spoiling = opened.result.transaction('server', 'readwrite');
    spoiling.objectStore('server').put(new Uint8Array(9), new TextEncoder().encode('base'));
    await new Promise((done) => { spoiling.oncomplete = done; });
    opened.result.close();
    const resumed = await outcome(Liferaft.resume({ room: 'damaged' }));
    const next = await Liferaft.join(text, { room: 'damaged' });
    const { kind, taken, damaged } = next.storage;
    await Liferaft.forget('damaged', own.id);
    while ((await indexedDB.databases()).some(({ name }) => name.includes(own.id.slice(2)))) await new Promise((later) => setTimeout(later, 20));
    await next.stop();
    return [[own.storage.isKeyHidden, type, extractable], resumed, kind, taken, damaged.length === 1 && damaged[0].id === own.id, next.warnings.some((what) => what.includes(own.id))];
  }, invitation.text);
  same(damaged.shift(), [true, 'private', false], 'no script can read a key that is stored');
  same(damaged, ['LiferaftError storage not-done', 'indexeddb', 'new', true, true], 'what is damaged is passed over, and said, until it is forgotten');

  same(await restoring, [1, large.count, large.count], 'a machine of the page is restored from a snapshot on who joins');
  await ada.evaluate(() => own.stop());

  const machine = await ada.evaluate(async () => {
    const { Liferaft } = liferaft;
    const decoder = new TextDecoder();
    let sum = 0;
    const counter = {
      apply: (command, { index }) => {
        const added = Number(decoder.decode(command));
        if (!Number.isSafeInteger(added) || index < 1) throw new Error('no number');
        sum += added;
        return String(sum);
      },
      query: () => String(sum),
      snapshot: () => String(sum),
      restore: (state) => { sum = Number(decoder.decode(state)); },
    };
    const own = await Liferaft.found({ room: 'counter', machine: counter });
    await own.joined();
    const replies = [(await own.propose('2')).text, (await own.propose('3')).text, (await own.query('')).text, (await own.query('', { local: true })).text];
    const wrong = await outcome(own.set('a', 'b'));
    await own.stop();
    sum = 0;
    const again = await Liferaft.resume({ room: 'counter', machine: counter });
    await again.joined();
    const kept = (await again.query('')).text;
    let why;
    again.addEventListener('stopped', ({ detail }) => { why = `${detail.code} ${detail.message}`; });
    const thrown = await outcome(again.propose('many'));
    await again.stop();
    return [replies, wrong, kept, thrown, why];
  });
  same(machine, [['2', '5', '5', '5'], 'LiferaftError unsupported not-done', '5', 'LiferaftError machine unknown', machine[4]], 'a machine of the page applies commands, also after a restart');
  check(/^machine .*no number$/.test(machine[4]), 'one that throws stops its member alone');

  const unsaved = await ada.evaluate(async () => {
    const full = () => { throw new Error('no state'); };
    const own = await liferaft.Liferaft.found({ storage: 'memory', machine: { apply: () => '', query: () => '', snapshot: full, restore: full } });
    const why = new Promise((stopped) => own.addEventListener('stopped', ({ detail }) => stopped(`${detail.code} ${detail.message}`)));
    while (await outcome(own.propose(new Uint8Array(500_000))) === 'done');
    return why;
  });
  same(unsaved, 'machine the state machine threw over a snapshot: no state', 'and so does one that throws over a snapshot');

  const memory = await ada.evaluate(async () => {
    const own = await liferaft.Liferaft.found({ storage: 'memory' });
    await own.set('a', 'b');
    const { kind, isKeyHidden } = own.storage;
    await own.stop();
    return [kind, isKeyHidden];
  });
  same(memory, ['memory', true], 'a member in memory has a key that no script can read');

  // Only a bug of the module, or a browser without randomness, has it panic.
  const { text, id } = await ada.evaluate(async () => {
    globalThis.node = await liferaft.Liferaft.found({ storage: 'memory', electionTimeoutMs: 500 });
    await node.joined();
    return { id: node.id, text: (await node.invite()).text };
  });
  await bobAgain.evaluate(async (text) => {
    globalThis.node = await liferaft.Liferaft.join(text, { storage: 'memory', electionTimeoutMs: 500 });
    await node.joined({ timeoutMs: 30_000 });
  }, text);
  const ended = await ada.evaluate(async () => {
    if (!node.status.isLeader) await node.transferLeadership(node.id);
    const why = new Promise((stopped) => node.addEventListener('stopped', ({ detail }) => stopped(detail.code)));
    const watched = outcome(node.watch('a').next());
    crypto.getRandomValues = () => { throw new Error('none is left'); };
    const invited = outcome(node.invite({ uses: 1 }));
    return [await invited, await watched, await why, await outcome(node.get('a')), await outcome(liferaft.Liferaft.found())];
  });
  const INTERNAL = 'LiferaftError internal unknown';
  same(ended, [INTERNAL, INTERNAL, 'internal', INTERNAL, INTERNAL], 'a bug ends all members of a page');
  await bobAgain.evaluate((id) => until(node, 'status', () => node.status.leader !== id), id);
  check(true, 'and others notice that they are silent');

  const trapped = await bobAgain.evaluate(async () => {
    const why = new Promise((stopped) => node.addEventListener('stopped', ({ detail }) => stopped(`${detail.code} ${detail.message}`)));
    const watch = node.watch('a');
    await watch.next();
    const watched = outcome(watch.next());
    const script = performance.getEntriesByType('resource').map(({ name }) => name).find((name) => /liferaft_web-\w+\.js$/.test(name));
    const { memory } = await (await import(script)).default();
    memory.grow(2 ** 16 - memory.buffer.byteLength / 2 ** 16);
    const written = outcome(node.set('a', new Uint8Array(64 << 20)));
    return [await written, await watched, await outcome(node.get('a')), await outcome(liferaft.Liferaft.found()), await why];
  });
  same(trapped.slice(0, 4), Array(4).fill(INTERNAL), 'so does a module that has no memory left');
  check(/^internal .*want of memory/.test(trapped[4]), 'and says why');
}, () => {
  files.close();
  end();
});
