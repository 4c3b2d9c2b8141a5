// What the tests of pages share: a browser, pages from a server of their own, programs that end with the test, and waits.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';

const KINDS = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.wasm': 'application/wasm' };
export const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'];

// Ends the test when its time is over: nothing of it waits for ever.
export function endsWithin(milliseconds) {
  const watchdog = setTimeout(() => { console.error(`no end after ${milliseconds} ms`); process.exit(1); }, milliseconds);
  return () => clearTimeout(watchdog);
}

export function launch(modules, executablePath) {
  const require = createRequire(path.join(path.resolve(modules), 'here.js'));
  return require('playwright-core').chromium.launch({ executablePath, args: FLAGS });
}

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

// A page in a process of its own: another context, so that nothing is shared.
export async function tab(browser, url) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on('pageerror', (error) => console.error(`page: ${error}`));
  page.on('console', (message) => { if (message.type() === 'error' && !/ERR_CONNECTION_REFUSED/.test(message.text())) console.error(`page: ${message.text()}`); });
  await page.goto(url);
  return page;
}

// Waits until a page shows what is asked for.
export async function shows(page, what, holds, argument) {
  await page.waitForFunction(holds, argument, { timeout: 30_000, polling: 50 });
  console.log(`ok: ${what}`);
}

export async function say(page, line) {
  await page.fill('#line', line);
  await page.press('#line', 'Enter');
}

export const text = (page, id) => page.textContent(`#${id}`);
export const lines = (page) => page.$$eval('#lines li', (items) => items.map((item) => item.textContent));
