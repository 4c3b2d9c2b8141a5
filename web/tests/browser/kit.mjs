// What the tests of pages share: a browser, pages from a server of their own, programs that end with the test, and
// waits.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { read, say } from './page.mjs';

const KINDS = {
  '.css': 'text/css', '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.svg': 'image/svg+xml', '.wasm': 'application/wasm',
};
export const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'];

// How long a page is waited for to show something, and how often it is asked.
export const SHOWN_WITHIN_MS = 30_000;
export const POLL_MS = 50;
// How long pages have to say what they showed.
const PAGES_TELL_WITHIN_MS = 5_000;

// Ends the test when its time is over: nothing of it waits for ever.
export function endsWithin(milliseconds) {
  const watchdog = setTimeout(() => { console.error(`no end after ${milliseconds} ms`); process.exit(1); }, milliseconds);
  return () => clearTimeout(watchdog);
}

const playwright = (modules) => createRequire(path.join(path.resolve(modules), 'here.js'))('playwright-core').chromium;

export const launch = (modules, executablePath, args = []) => playwright(modules).launch({ executablePath, args: [...FLAGS, ...args] });

// Starts a browser that keeps what its tabs store, in a folder: others have private windows alone, whose databases are
// in memory. Returns its one profile.
export const launchStored = (modules, executablePath, folder) => playwright(modules).launchPersistentContext(folder, { executablePath, args: FLAGS });

// Serves the files of one folder by their names.
export async function serveFiles(folder) {
  const added = new Map();
  const server = createServer((request, response) => {
    const name = path.basename(new URL(request.url, 'http://here').pathname);
    const kind = KINDS[path.extname(name)];
    try {
      const file = added.get(name) ?? readFileSync(path.join(folder, name));
      response.setHeader('content-type', kind ?? 'application/octet-stream');
      response.end(file);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return { origin: `http://127.0.0.1:${server.address().port}`, add: (name, text) => added.set(name, text), close: () => server.close() };
}

// Starts a program and returns it with the first line that `found` takes something from.
export async function start(program, args, found) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((done) => { child.on('exit', done); });
  const lines = createInterface({ input: child.stdout });
  const said = await new Promise((resolve, reject) => {
    lines.on('line', (line) => { const value = found(line); if (value) resolve(value); });
    ended.then(() => reject(new Error(`${program} has ended`)));
  });
  return { said, lines, stop: async (signal = 'SIGTERM') => { child.kill(signal); await ended; } };
}

export function check(holds, what) {
  if (!holds) throw new Error(`not so: ${what}`);
  console.log(`ok: ${what}`);
}

// What tabs of one person's browser share: their storage, and channels between them.
export async function profile(browser) {
  const context = await browser.newContext();
  await context.addInitScript(noteDepartures, DEPARTURES);
  return context;
}

// A page in a process of its own. It shares nothing with others, unless they are in the same profile.
export async function tab(browser, url, shared = undefined) {
  const page = await (shared ?? await profile(browser)).newPage();
  page.on('pageerror', (error) => console.error(`page: ${error}`));
  page.on('console', (message) => { if (message.type() === 'error' && !/ERR_CONNECTION_REFUSED/.test(message.text())) console.error(`page: ${message.text()}`); });
  await page.goto(url);
  return page;
}

// Where a tab counts how often it was left: in the storage of its origin, where that is read when the page is gone.
const DEPARTURES = 'departures, for a test';

function noteDepartures(name) {
  addEventListener('pagehide', () => localStorage.setItem(name, Number(localStorage.getItem(name)) + 1));
}

// Returns how often `pagehide` has run in a tab, which may be there or not.
export async function departures(page) {
  const { origins } = await page.context().storageState();
  const counts = origins.flatMap(({ localStorage }) => localStorage).filter(({ name }) => name === DEPARTURES);
  return counts.reduce((sum, { value }) => sum + Number(value), 0);
}

// Ends the process of a tab as a crash does, and returns when: nothing of the page runs any more, and no other tab
// falls with it. Both are shown.
export async function crash(page, others) {
  const before = await departures(page);
  const devtools = await page.context().newCDPSession(page);
  const crashed = page.waitForEvent('crash');
  const began = Date.now();
  // Nobody is left who would answer.
  devtools.send('Page.crash').catch(() => {});
  await crashed;
  check(await departures(page) === before, 'a tab crashes without being told');
  check((await Promise.all(others.map((other) => other.evaluate(() => 1)))).every((one) => one === 1), 'no other one does');
  return began;
}

// Closes a tab as a person does, and returns when: its page is told, which is shown.
export async function close(page) {
  const before = await departures(page);
  const began = Date.now();
  await page.close();
  check(await departures(page) === before + 1, 'a tab that is closed is told');
  return began;
}

// What each page shows of its member.
export const seen = (pages) => Promise.all(pages.map((page) => page.evaluate(read)));

// Waits until what each of some pages shows of its member is as asked for, and returns it. They are asked from outside:
// the timers of a page may be held up.
export async function all(pages, what, holds) {
  const end = Date.now() + SHOWN_WITHIN_MS;
  let shown = await seen(pages);
  while (!shown.every(holds)) {
    if (Date.now() > end) throw new Error(`not shown: ${what}: ${JSON.stringify(shown)}`);
    await new Promise((later) => setTimeout(later, POLL_MS));
    shown = await seen(pages);
  }
  console.log(`ok: ${what}`);
  return shown;
}

// Waits until all pages follow one member, and returns its id and the page that shows it, if one does.
export async function leading(pages) {
  const shown = await all(pages, 'all follow one', ({ leader }, _, [first]) => leader && leader === first.leader);
  const [{ leader }] = shown;
  return { leader, page: pages[shown.findIndex(({ id }) => id === leader)] };
}

// Has one page send a line, and waits until all have it.
export async function chat(page, pages, line) {
  await say(page, line);
  await all(pages, `all have the line '${line}'`, ({ lines }) => lines.includes(line));
}

// Starts a signaling server for pages of another one.
export function serveSignals(program, origin, listen = '127.0.0.1:0') {
  const args = ['serve', '--listen', listen, '--allow-origin', origin, '--until-eof'];
  return start(program, args, (line) => line.match(/^signaling at (http:\/\/127\.0\.0\.1:\d+)$/)?.[1]);
}

// Makes a room of a signaling server, and returns its number.
export async function makeRoom(server) {
  const answer = await fetch(`${server}/new`, { redirect: 'manual' });
  return answer.headers.get('location').match(/^\/\?channel=([0-9a-z]{20})#firstServer$/)[1];
}

const shownOf = (parts) => parts.map(({ textContent }) => textContent.replace(/\s+/g, ' ').slice(0, 1_000)).join('\n');

// Tells a story in a browser, and ends both, and what it has begun besides. Where it fails, the pages say what they
// showed, and those of the chat what happened in their members.
export async function told(browser, story, end) {
  try {
    await story();
  } catch (error) {
    const silence = new Promise((over) => setTimeout(over, PAGES_TELL_WITHIN_MS, 'a page is silent'));
    for (const context of browser.contexts()) {
      for (const page of context.pages()) console.error(await Promise.race([page.$$eval('main, #log > li', shownOf).catch(String), silence]));
    }
    throw error;
  } finally {
    await browser.close();
    await end();
  }
}

// Waits until a page shows what is asked for.
export async function shows(page, what, holds, argument) {
  await page.waitForFunction(holds, argument, { timeout: SHOWN_WITHIN_MS, polling: POLL_MS });
  console.log(`ok: ${what}`);
}

export const text = (page, id) => page.textContent(`#${id}`);
export const lines = (page) => page.$$eval('#lines li', (items) => items.map((item) => item.textContent));
