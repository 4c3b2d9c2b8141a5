// Measures clusters of tabs in Chromium, and prints each figure beside its target. Run by `cargo xtask tabs`:
//
//   node tabs.mjs LIFERAFT CHROMIUM MODULES SITE PART TABS RUNS
//
// with the program, the browser, the folder of node_modules, the folder that `cargo xtask web` makes, what is measured
// (`original`, `joiner` or `writes`), of how many tabs a cluster is at most, and how often each is measured.
//
// All times are those of events in pages, of which the page tells when they were, and not of when they were asked for.
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { check, close, crash, endsWithin, launch, launchStored, makeRoom, profile, serveFiles, serveSignals, shows, tab, told } from './kit.mjs';
import { at, founding } from './page.mjs';
import { FIGURES, SIZES, isMet, originals } from './originals.mjs';

const [program, chromium, modules, site, part, tabsMax, times] = process.argv.slice(2);
const runs = Array.from({ length: Number(times) }, (_, index) => index + 1);
const end = endsWithin(1_000 * (120 + 240 * runs.length));
const files = await serveFiles(site);
files.add('blank.html', '<!doctype html><link rel="icon" href="data:,"><title>blank</title>');
const server = await serveSignals(program, files.origin);

// How long a cluster is left to itself before anything else happens to it, as it was in the original's measurements.
const SETTLED_MS = 3_000;
const WITHIN_MS = 60_000;
// How many lines a late joiner has to learn, and how soon it is to have them.
const LINES = 1_000;
const JOINED_TARGET_MS = 2_000;
const CALLERS = 64;
const VALUE_BYTES = 256;
const WARM_UP_MS = 2_000;
const LOAD_MS = 5_000;
const WRITES_TARGET = 10_000;

const later = (milliseconds) => new Promise((over) => setTimeout(over, milliseconds));

// ---------------------------------------------------------------------------------------------------------------------
// In pages of the chat

// Tells where a member stands each time that this changes, and notes when lines were shown and a channel was open.
function track() {
  window.now = () => performance.timeOrigin + performance.now();
  window.shownAt = [];
  const waiting = new Map();
  let told;
  document.addEventListener('liferaft:status', ({ detail: { at, status } }) => {
    const { role, leader, voters, learners, links } = status;
    const stand = { role, leader, voters: voters.length, learners: learners.length, linked: links.filter(({ path }) => path).length };
    if (JSON.stringify(stand) === told) return;
    told = JSON.stringify(stand);
    window.tell({ at, ...stand });
  });
  document.addEventListener('liferaft:line', ({ detail: { at, place } }) => {
    window.shownAt[place] = at;
    waiting.get(place)?.(at);
  });
  // Returns when the line of a place was shown, or will be.
  window.shown = (place) => window.shownAt[place] ?? new Promise((shown) => { waiting.set(place, shown); });
  const { createDataChannel } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.createDataChannel = function create(...given) {
    const channel = createDataChannel.apply(this, given);
    channel.addEventListener('open', () => { window.openedAt ??= window.now(); });
    return channel;
  };
}

// Starts the member of a page that waits for that, by a link if one is given, and returns when.
function begin(link) {
  if (link) history.replaceState(null, '', link);
  const began = window.now();
  startChat();
  return began;
}

// Returns the link of a member once there is one.
function linkOf() {
  const link = document.getElementById('link');
  return new Promise((known) => {
    const look = () => { if (link.href.includes('#')) known(link.href); };
    new MutationObserver(look).observe(link, { attributes: true });
    look();
  });
}

// Says lines as people do, but at once, and returns when.
function sayAll(lines) {
  const input = document.getElementById('line');
  const began = window.now();
  for (const line of lines) {
    input.value = line;
    input.form.requestSubmit();
  }
  return began;
}

// Tabs with the chat in a browser, and where the member of each stands.
class Room {
  #browser;
  #stands = new Map();
  #changes = new EventEmitter();
  said = 0;

  constructor(browser, address) {
    this.#browser = browser;
    this.address = address;
    this.tabs = [];
  }

  static async of(browser, query) {
    return new Room(browser, `${at(files.origin, server.said, await makeRoom(server.said), 'chat')}&paused${query}`);
  }

  // Opens a tab whose member is not started.
  async open(address = this.address) {
    const shared = await profile(this.#browser);
    await shared.exposeBinding('tell', ({ page }, stand) => { this.#stands.set(page, stand); this.#changes.emit('changed'); });
    await shared.addInitScript(track);
    const page = await tab(this.#browser, address, shared);
    this.tabs.push(page);
    return page;
  }

  // Opens so many tabs, starts their members, and returns when the first one was started.
  async found(size) {
    await this.open(founding(this.address));
    while (this.tabs.length < size) await this.open();
    const [founder, ...others] = this.tabs;
    const began = await founder.evaluate(begin);
    const link = await founder.evaluate(linkOf);
    await Promise.all(others.map((other) => other.evaluate(begin, link)));
    return began;
  }

  // Returns when it is so where the members of all tabs stand.
  async when(what, holds) {
    const signal = AbortSignal.timeout(WITHIN_MS);
    for (;;) {
      const stands = this.tabs.map((page) => this.#stands.get(page));
      if (stands.every(Boolean) && holds(stands)) {
        console.log(`ok: ${what}`);
        return Math.max(...stands.map(({ at }) => at));
      }
      await once(this.#changes, 'changed', { signal }).catch(() => { throw new Error(`not so: ${what}: ${JSON.stringify(stands)}`); });
    }
  }

  // One leads, all others follow, and all know that these vote and nobody else, as the original asked for.
  formed(what) {
    const size = this.tabs.length;
    return this.when(what, (stands) => stands.filter(({ role }) => role === 'leader').length === 1
      && stands.every(({ role, voters, learners }) => voters === size && learners === 0 && (role === 'leader' || role === 'follower')));
  }

  linked() {
    return this.when('all are linked with all', (stands) => stands.every(({ linked }) => linked >= this.tabs.length - 1));
  }

  // Returns the tab that leads, which on a busy machine may not be one at any time.
  async leader() {
    await this.formed('one leads');
    return this.tabs.find((page) => this.#stands.get(page).role === 'leader');
  }

  // Says lines in a tab, and returns after how long all tabs show them.
  async say(page, count) {
    const place = this.said + count - 1;
    const lines = Array.from({ length: count }, (_, index) => `line ${this.said + index}`);
    this.said += count;
    const shown = this.tabs.map((one) => one.evaluate((place) => window.shown(place), place));
    const began = await page.evaluate(sayAll, lines);
    const took = Math.max(...await Promise.all(shown)) - began;
    const texts = await Promise.all(this.tabs.map((one) => one.$$eval('#history .text', (all) => all.map(({ textContent }) => textContent).join('\n'))));
    check(texts.every((text) => text === texts[0] && text.endsWith(lines.at(-1))), `all have the ${this.said} lines`);
    return took;
  }

  // Ends the tab that leads, and returns how long the others take to be led by another one, and to have evicted it.
  async recover(how) {
    const gone = await this.leader();
    this.tabs = this.tabs.filter((page) => page !== gone);
    const { leader } = this.#stands.get(gone);
    const ended = [
      this.when('another leads', (stands) => stands.every((stand) => stand.leader && stand.leader !== leader)),
      this.formed(`${this.tabs.length} have evicted it`),
    ];
    const began = await how(gone, this.tabs);
    const [led, whole] = await Promise.all(ended);
    await gone.context().close();
    return [led - began, whole - began];
  }

  async close() {
    await Promise.all(this.tabs.map((page) => page.context().close()));
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// The original's measurements

async function measure(browser, size) {
  const room = await Room.of(browser, '&et=1000&laboratory');
  const began = await room.found(size);
  const up = await room.formed(`${size} take part`) - began;
  const mesh = await room.linked() - began;
  await later(SETTLED_MS);
  const leads = await room.leader();
  const leader = await room.say(leads, 1);
  const follower = await room.say(room.tabs.find((page) => page !== leads), 1);
  const hundred = await room.say(leads, 100);
  const [elected, crashed] = await room.recover(crash);
  const link = await room.tabs[0].evaluate(linkOf);
  await (await room.open()).evaluate(begin, link);
  await room.formed(`${size} take part again`);
  await room.linked();
  await later(SETTLED_MS);
  const [handed, closed] = await room.recover(close);
  await room.close();
  return { up, mesh, leader, follower, hundred, elected, crashed, handed, closed };
}

async function original() {
  const measured = new Map();
  for (const size of SIZES.filter((size) => size <= Number(tabsMax))) {
    measured.set(size, []);
    for (const run of runs) {
      const browser = await launch(modules, chromium);
      try {
        await told(browser, async () => measured.get(size).push(await measure(browser, size)), () => {});
        console.log(`${size} tabs, run ${run} of ${runs.length}: ${JSON.stringify(measured.get(size).at(-1))}`);
      } catch (error) {
        // It counts, as it did for the original.
        console.error(`${size} tabs, run ${run} of ${runs.length}: ${error}`);
      }
    }
  }
  const row = (...cells) => console.log(`| ${cells.join(' | ')} |`);
  console.log(`\nElection timeout 1000 ms, evicted after as much silence; ms, median of ${runs.length} (least to most).\n`);
  row('tabs', '', 'runs', ...FIGURES.map(({ about }) => about));
  row('--:', '---', '--:', ...FIGURES.map(() => '--:'));
  const missed = [];
  for (const [size, results] of measured) {
    const spread = FIGURES.map(({ key }) => spreadOf(results.map((result) => result[key])));
    row(size, 'liferaft', `${results.length} of ${runs.length}`, ...spread.map(shownSpread));
    for (const [whose, figures] of originals(size)) row('', whose, figures.runs, ...FIGURES.map(({ key }) => figures[key] ?? ''));
    if (results.length < runs.length) missed.push(`runs of ${size}`);
    FIGURES.forEach((figure, index) => {
      if (!isMet(size, figure, spread[index].median)) missed.push(`${figure.about} of ${size}`);
    });
  }
  console.log(`\ntarget: at most the original's, measured alike where it was: ${missed.length ? `missed: ${missed.join(', ')}` : 'met'}`);
  return missed.length === 0;
}

function spreadOf(values) {
  const sorted = values.toSorted((one, other) => one - other);
  return { least: sorted[0], median: sorted[Math.floor(sorted.length / 2)], most: sorted.at(-1) };
}

const shownSpread = ({ least, median, most }) => (median === undefined ? '' : `${median.toFixed(0)} (${least.toFixed(0)}–${most.toFixed(0)})`);

function judge(about, values, target, holds) {
  const spread = spreadOf(values);
  const met = holds(spread);
  console.log(`| ${about} | ${shownSpread(spread)} | ${target} | ${target && (met ? 'met' : 'missed')} |`);
  return met;
}

const judged = () => console.log(`\n| median of ${runs.length} (least to most) | measured | target | |\n|---|--:|--:|---|`);

// ---------------------------------------------------------------------------------------------------------------------
// A late joiner

async function joiner() {
  const [linked, whole] = [[], []];
  const browser = await launch(modules, chromium);
  await told(browser, async () => {
    const room = await Room.of(browser, '');
    await room.found(3);
    await room.formed('three take part');
    while (room.said < LINES) await room.say(await room.leader(), 50);
    for (const run of runs) {
      const link = await room.tabs[0].evaluate(linkOf);
      const late = await room.open();
      const began = await late.evaluate(begin, link);
      const shown = await late.evaluate((place) => window.shown(place), LINES - 1);
      check(await late.$$eval('#history .text', (all) => all.length) === LINES, `newcomer ${run} has all ${LINES} lines`);
      linked.push(shown - await late.evaluate(() => window.openedAt));
      whole.push(shown - began);
    }
  }, () => {});
  judged();
  judge(`a late joiner, started → has ${LINES} lines, ms`, whole, '', () => true);
  return judge(`a late joiner, first link → has ${LINES} lines, ms (the original: 51,000)`, linked, JOINED_TARGET_MS, ({ most }) => most <= JOINED_TARGET_MS);
}

// ---------------------------------------------------------------------------------------------------------------------
// Writes

// Starts a member of the package in a page.
async function startMember({ how, given, options }) {
  const { Liferaft, init } = await import('./index.js');
  await init();
  window.node = await Liferaft[how](...(given ? [given] : []), options);
  await window.node.joined({ timeoutMs: 30_000 });
  return window.node.storage.kind;
}

// Has callers write for some time, and returns how many writes were done in a second, and how long they took.
async function load({ callers, bytes, warmUpMs, loadMs }) {
  const begins = performance.now() + warmUpMs;
  const ends = begins + loadMs;
  const took = [];
  await Promise.all(Array.from({ length: callers }, async (_, caller) => {
    for (let number = 0; ; number += 1) {
      const began = performance.now();
      if (began >= ends) return window.node.set(`last/${caller}`, 'done');
      const value = new Uint8Array(bytes);
      new DataView(value.buffer).setUint32(0, number);
      await window.node.set(`${caller}/${number % 1000}`, value);
      const done = performance.now();
      if (began >= begins && done < ends) took.push(done - began);
    }
  }));
  took.sort((one, other) => one - other);
  return { rate: took.length / loadMs * 1_000, p50: took[Math.floor(took.length / 2)], p99: took[Math.floor(took.length * 0.99)] };
}

// Returns true if a member knows what each caller has written last.
async function hasAll(callers) {
  const all = Array.from({ length: callers }, (_, caller) => window.node.get(`last/${caller}`, { local: true }));
  return (await Promise.all(all)).every(({ text }) => text === 'done');
}

// Writes from 64 callers in the tab that leads, and in one that follows. Tabs of one profile meet without any server.
async function loadTabs(context, storage) {
  const options = { storage, room: 'writes' };
  const pages = [];
  for (let number = 0; number < 3; number += 1) {
    const page = await context.newPage();
    page.on('pageerror', (error) => console.error(`page: ${error}`));
    await page.goto(`${files.origin}/blank.html`);
    const given = await pages[0]?.evaluate(async () => (await window.node.invite()).text);
    check(await page.evaluate(startMember, { how: given ? 'join' : 'found', given, options }) === storage, `a tab stores in ${storage}`);
    pages.push(page);
  }
  const term = () => pages[0].evaluate(() => window.node.status.term);
  const before = await term();
  const loads = [];
  for (const page of pages.slice(0, 2)) {
    for (const _ of runs) {
      const one = await page.evaluate(load, { callers: CALLERS, bytes: VALUE_BYTES, warmUpMs: WARM_UP_MS, loadMs: LOAD_MS });
      console.log(`${storage}, ${page === pages[0] ? 'leader' : 'follower'}: ${one.rate.toFixed(0)} a second, p50 ${one.p50.toFixed(1)} ms, p99 ${one.p99.toFixed(1)} ms`);
      loads.push(one);
    }
  }
  await Promise.all(pages.map((page) => shows(page, 'a tab has applied what was written', hasAll, CALLERS)));
  console.log(`${storage}: term ${before} before, ${await term()} after`);
  return [loads.slice(0, runs.length), loads.slice(runs.length)].map((some) => some.map(({ rate }) => rate));
}

async function writes() {
  const browser = await launch(modules, chromium);
  let inMemory;
  await told(browser, async () => { inMemory = await loadTabs(await browser.newContext(), 'memory'); }, () => {});
  // Contexts of their own are private windows, whose databases are in memory.
  const folder = mkdtempSync(path.join(tmpdir(), 'liferaft-tabs-'));
  const stored = await launchStored(modules, chromium, folder);
  let inDatabases;
  try {
    inDatabases = await loadTabs(stored, 'indexeddb');
  } finally {
    await stored.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
  judged();
  const about = (where, who) => `writes a second over three tabs, ${where}, ${CALLERS} callers at ${who}`;
  const met = judge(about('memory', 'the leader'), inMemory[0], WRITES_TARGET, ({ median }) => median >= WRITES_TARGET);
  judge(about('memory', 'a follower'), inMemory[1], '', () => true);
  judge(`${about('strict IndexedDB', 'the leader')} (wraft: about 2,000)`, inDatabases[0], '', () => true);
  judge(about('strict IndexedDB', 'a follower'), inDatabases[1], '', () => true);
  return met;
}

const PARTS = { original, joiner, writes };

try {
  if (!await PARTS[part]()) process.exitCode = 1;
} finally {
  await server.stop('SIGKILL');
  files.close();
  end();
}
