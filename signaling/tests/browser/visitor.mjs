// A published PeerJS client in Chromium dials a member, gets a channel, and is told on it to get an invitation. Run by
// a test of the members, which serves and is the member:
//
//   node visitor.mjs CHROMIUM MODULES PORT ID
//
// with the browser, the folder of node_modules that holds peerjs and playwright-core, the port of the signaling
// server, and the member's id there.
import path from 'node:path';
import { check, endsWithin, launch, serveFiles, tab } from '../../../web/tests/browser/kit.mjs';

const [chromium, modules, port, id] = process.argv.slice(2);
const end = endsWithin(60_000);
const files = await serveFiles(path.join(modules, 'peerjs/dist'));
files.add('page.html', '<!doctype html><script src="/peerjs.min.js"></script>');

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

const browser = await launch(modules, chromium);
try {
  const page = await tab(browser, `${files.origin}/page.html`);
  for (const serialization of ['binary', 'json', 'raw']) {
    const received = await page.evaluate(visit, { port: Number(port), id, serialization });
    check(received.length === 1 && typeof received[0] === 'string' && received[0].includes('liferaft node --join INVITATION'),
      `a client that reads ${serialization} gets a channel, and is told to get an invitation`);
  }
} finally {
  await browser.close();
  files.close();
  end();
}
