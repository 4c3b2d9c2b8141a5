// Two published PeerJS clients in Chromium exchange data through `liferaft serve`, and reconnect with their ids, also to a
// server that was restarted. Run by `cargo xtask test --only browser`:
//
//   node peerjs.mjs LIFERAFT CHROMIUM MODULES
//
// with the program, the browser, and the folder of node_modules that holds peerjs and playwright-core.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';

const [program, executablePath, modules] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), 'here.js'));
const { chromium } = require('playwright-core');

const DEADLINE_MS = 60_000;
const watchdog = setTimeout(() => { console.error(`no end after ${DEADLINE_MS} ms`); process.exit(1); }, DEADLINE_MS);

// The pages come from another origin, as an application's do.
const script = readFileSync(path.join(modules, 'peerjs/dist/peerjs.min.js'));
const pages = createServer((request, response) => {
  const isScript = request.url === '/peerjs.js';
  response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
  response.end(isScript ? script : '<!doctype html><script src="/peerjs.js"></script>');
});
await new Promise((listening) => pages.listen(0, '127.0.0.1', listening));
const origin = `http://127.0.0.1:${pages.address().port}`;

// A server that ends with this program, whose input it waits for.
async function serve(listen) {
  const process_ = spawn(program, ['serve', '--listen', listen, '--allow-origin', origin, '--list-peers', '--until-eof'],
    { stdio: ['pipe', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: process_.stdout })) {
    const port = line.match(/^signaling at http:\/\/127\.0\.0\.1:(\d+)$/)?.[1];
    if (port) {
      return { port: Number(port), stop: () => new Promise((ended) => { process_.on('exit', ended); process_.kill('SIGTERM'); }) };
    }
  }
  throw new Error('the server does not run');
}

function check(holds, what) {
  if (!holds) throw new Error(`not so: ${what}`);
  console.log(`ok: ${what}`);
}

// Waits in Node for what the server says.
async function until(holds) {
  while (!await holds()) await new Promise((later) => setTimeout(later, 50));
}

let server = await serve('127.0.0.1:0');
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
});

// Runs in the pages.
const open = ({ id, port, key }) => new Promise((done, failed) => {
  const peer = new Peer(id, { host: '127.0.0.1', port, path: '/', key, config: { iceServers: [] } });
  window.peer = peer;
  window.received = [];
  peer.on('open', done);
  peer.on('error', (error) => { window.lastError = error.type; failed(error); });
  peer.on('connection', (connection) => {
    connection.on('data', (data) => { window.received.push(data); connection.send(`heard ${data}`); });
  });
});
const exchange = ({ to, text }) => new Promise((done, failed) => {
  const connection = window.peer.connect(to, { reliable: true });
  connection.on('open', () => connection.send(text));
  connection.on('data', done);
  connection.on('error', failed);
  window.peer.once('error', failed);
});
const reconnect = () => new Promise((done) => { window.peer.once('open', done); window.peer.reconnect(); });

async function tab() {
  const page = await (await browser.newContext()).newPage();
  await page.goto(origin);
  return page;
}

async function peers(key) {
  const answer = await fetch(`http://127.0.0.1:${server.port}/${key}/peers`);
  return answer.json();
}

try {
  const [ada, bob] = [await tab(), await tab()];

  // Without an id, PeerJS asks for one.
  const adaId = await ada.evaluate(open, { id: undefined, port: server.port, key: 'peerjs' });
  await bob.evaluate(open, { id: 'bob', port: server.port, key: 'peerjs' });
  check(adaId.length === 36, 'a client without an id is given one');
  check(await ada.evaluate(exchange, { to: 'bob', text: 'one' }) === 'heard one', 'two clients exchange data');

  const eve = await tab();
  const refused = await eve.evaluate(open, { id: 'bob', port: server.port, key: 'peerjs' }).then(() => 'opened', () => 'refused');
  check(refused === 'refused' && await eve.evaluate(() => window.lastError) === 'unavailable-id', 'an id is not taken over');

  const absent = await ada.evaluate(exchange, { to: 'nobody', text: '' }).then(() => '', (error) => String(error));
  check(absent.includes('Could not connect to peer nobody'), 'an offer for nobody expires');

  await bob.evaluate(() => window.peer.disconnect());
  await until(async () => !(await peers('peerjs')).includes('bob'));
  check(await bob.evaluate(reconnect) === 'bob', 'a client that disconnected comes back with its id');
  check(await ada.evaluate(exchange, { to: 'bob', text: 'two' }) === 'heard two', 'and is reached again');

  // The clients notice that the server is gone, and come back to another at the same address.
  const disconnected = () => new Promise((done) => {
    if (window.peer.disconnected) done(); else window.peer.once('disconnected', () => done());
  });
  const gone = [ada.evaluate(disconnected), bob.evaluate(disconnected)];
  await server.stop();
  await Promise.all(gone);
  server = await serve(`127.0.0.1:${server.port}`);
  check(await ada.evaluate(reconnect) === adaId, 'a client comes back to a restarted server with its id');
  check(await bob.evaluate(reconnect) === 'bob', 'so does the other');
  check(await bob.evaluate(exchange, { to: adaId, text: 'three' }) === 'heard three', 'and they exchange data');

  // A room is a key of PeerJS.
  const [one, two] = [await tab(), await tab()];
  const answer = await fetch(`http://127.0.0.1:${server.port}/new`, { redirect: 'manual' });
  const room = answer.headers.get('location').match(/^\/\?channel=([0-9a-z]{20})#firstServer$/)[1];
  await one.evaluate(open, { id: 'bob', port: server.port, key: room });
  await two.evaluate(open, { id: 'two', port: server.port, key: room });
  check(await two.evaluate(exchange, { to: 'bob', text: 'four' }) === 'heard four', 'clients meet in a room of their own');
  check(JSON.stringify(await peers(room)) === '["bob","two"]', 'whose peers are listed');
} finally {
  await browser.close();
  await server.stop();
  pages.close();
  clearTimeout(watchdog);
}
