// Two published PeerJS clients in Chromium exchange data through `liferaft serve`, and reconnect with their ids, also to a
// server that was restarted. Run by `cargo xtask test --only browser`:
//
//   node peerjs.mjs LIFERAFT CHROMIUM MODULES
//
// with the program, the browser, and the folder of node_modules that holds peerjs and playwright-core.
import path from 'node:path';
import { check, endsWithin, launch, serveFiles, start, tab } from '../../../web/tests/browser/kit.mjs';

const [program, chromium, modules] = process.argv.slice(2);
const end = endsWithin(60_000);
// The pages come from another origin, as an application's do.
const files = await serveFiles(path.join(modules, 'peerjs/dist'));
files.add('page.html', '<!doctype html><script src="/peerjs.min.js"></script>');

// A server that ends with this program, whose input it waits for.
async function serve(listen) {
  const args = ['serve', '--listen', listen, '--allow-origin', files.origin, '--list-peers', '--until-eof'];
  const server = await start(program, args, (line) => line.match(/^signaling at http:\/\/127\.0\.0\.1:(\d+)$/)?.[1]);
  return { port: Number(server.said), stop: server.stop };
}

// Waits in Node for what the server says.
async function until(holds) {
  while (!await holds()) await new Promise((later) => setTimeout(later, 50));
}

let server = await serve('127.0.0.1:0');
const browser = await launch(modules, chromium);
const page = () => tab(browser, `${files.origin}/page.html`);

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

async function peers(key) {
  const answer = await fetch(`http://127.0.0.1:${server.port}/${key}/peers`);
  return answer.json();
}

try {
  const [ada, bob] = [await page(), await page()];

  // Without an id, PeerJS asks for one.
  const adaId = await ada.evaluate(open, { id: undefined, port: server.port, key: 'peerjs' });
  await bob.evaluate(open, { id: 'bob', port: server.port, key: 'peerjs' });
  check(adaId.length === 36, 'a client without an id is given one');
  check(await ada.evaluate(exchange, { to: 'bob', text: 'one' }) === 'heard one', 'two clients exchange data');

  const eve = await page();
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
  const [one, two] = [await page(), await page()];
  const answer = await fetch(`http://127.0.0.1:${server.port}/new`, { redirect: 'manual' });
  const room = answer.headers.get('location').match(/^\/\?channel=([0-9a-z]{20})#firstServer$/)[1];
  await one.evaluate(open, { id: 'bob', port: server.port, key: room });
  await two.evaluate(open, { id: 'two', port: server.port, key: room });
  check(await two.evaluate(exchange, { to: 'bob', text: 'four' }) === 'heard four', 'clients meet in a room of their own');
  check(JSON.stringify(await peers(room)) === '["bob","two"]', 'whose peers are listed');
} finally {
  await browser.close();
  await server.stop();
  files.close();
  end();
}
