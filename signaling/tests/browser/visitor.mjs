// A published PeerJS client in Chromium dials a member, gets a channel, and is told on it to get an invitation. Run by a test of the members, which serves and is the member:
//
//   node visitor.mjs CHROMIUM MODULES PORT ID
//
// with the browser, the folder of node_modules that holds peerjs and playwright-core, the port of the signaling
// server, and the member's id there.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

const [executablePath, modules, port, id] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), 'here.js'));
const { chromium } = require('playwright-core');

const DEADLINE_MS = 60_000;
const watchdog = setTimeout(() => { console.error(`no end after ${DEADLINE_MS} ms`); process.exit(1); }, DEADLINE_MS);

const script = readFileSync(path.join(modules, 'peerjs/dist/peerjs.min.js'));
const pages = createServer((request, response) => {
  const isScript = request.url === '/peerjs.js';
  response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
  response.end(isScript ? script : '<!doctype html><script src="/peerjs.js"></script>');
});
await new Promise((listening) => pages.listen(0, '127.0.0.1', listening));

function check(holds, what) {
  if (!holds) throw new Error(`not so: ${what}`);
  console.log(`ok: ${what}`);
}

// Runs in the page. Resolves when the member has closed the connection, with all that has come on it.
const visit = ({ port, id, serialization }) => new Promise((done, failed) => {
  const peer = new Peer({ host: '127.0.0.1', port, path: '/', config: { iceServers: [] } });
  peer.on('error', failed);
  peer.on('open', () => {
    const connection = peer.connect(id, { serialization, reliable: true });
    const received = [];
    connection.on('open', () => connection.send('may I?'));
    connection.on('data', (data) => received.push(data));
    connection.on('error', failed);
    connection.on('close', () => { peer.destroy(); done(received); });
  });
});

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
});
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${pages.address().port}`);
  for (const serialization of ['binary', 'json', 'raw']) {
    const received = await page.evaluate(visit, { port: Number(port), id, serialization });
    check(received.length === 1 && typeof received[0] === 'string' && received[0].includes('liferaft node --join INVITATION'),
      `a client that reads ${serialization} gets a channel, and is told to get an invitation`);
  }
} finally {
  await browser.close();
  pages.close();
  clearTimeout(watchdog);
}
