// A tab that is reached through a server of TURN alone joins a native member, which it finds in a room of `liferaft
// serve`. Run by `cargo xtask test --only browser`:
//
//   node relay.mjs LIFERAFT CHROMIUM MODULES SITE TURNSERVER
//
// with the program, the browser, the folder of node_modules, the folder that `cargo xtask web` makes, and coturn.
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import path from 'node:path';
import { endsWithin, launch, serveFiles, shows, start, tab, told } from './kit.mjs';
import { say } from './page.mjs';

const [program, chromium, modules, site, turnserver] = process.argv.slice(2);
const end = endsWithin(90_000);

async function freePort() {
  const socket = createSocket('udp4');
  await new Promise((bound) => socket.bind(0, ip, bound));
  const { port } = socket.address();
  await new Promise((closed) => socket.close(closed));
  return port;
}

// A relay lets those through whose addresses it was told, and what comes to a loopback address comes from one: it has
// the address that the native member has.
const ip = Object.values(networkInterfaces()).flat().find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1';

// Asks a server of STUN until it answers.
async function answers(port) {
  const socket = createSocket('udp4');
  const request = Buffer.alloc(20);
  request.writeUInt16BE(1);
  request.writeUInt32BE(0x2112a442, 4);
  // Before it listens, the system says that nobody does.
  socket.on('error', () => {});
  const asking = setInterval(() => socket.send(request, port, ip, () => {}), 100);
  await new Promise((answered) => socket.once('message', answered));
  clearInterval(asking);
  socket.close();
}

const port = await freePort();
const flags = `-n --listening-ip=${ip} --listening-port=${port} --relay-ip=${ip} --realm=example.org --userdb=/nonexistent
  --pidfile=/dev/null --log-file=stdout --allow-loopback-peers --no-cli --no-dtls --no-rfc5780 --no-tcp --no-tls --lt-cred-mech
  --user=tab:secret`;
const turn = spawn(turnserver, flags.split(/\s+/), { stdio: 'ignore' });
process.on('exit', () => turn.kill('SIGKILL'));
await answers(port);
const files = await serveFiles(site);
files.add('ice.json', JSON.stringify([{ urls: `turn:${ip}:${port}`, username: 'tab', credential: 'secret' }]));
const server = await start(program, ['serve', '--listen', '127.0.0.1:0', '--allow-origin', files.origin, '--until-eof'],
  (line) => line.match(/^signaling at (http:\/\/127\.0\.0\.1:\d+)$/)?.[1]);
const browser = await launch(modules, chromium);
const folder = mkdtempSync(path.join(tmpdir(), 'liferaft-relay-'));
let native;

// Run in the page.
const isVoter = () => document.getElementById('voters').children.length === 2;
const hasRelayedLink = () => [...document.getElementById('links').children].some((link) => / by rtc \(relay .+ to .+\)$/.test(link.textContent));
const hasLine = (line) => [...document.getElementById('lines').children].some((item) => item.textContent === line);

await told(browser, async () => {
  const answer = await fetch(`${server.said}/new`, { redirect: 'manual' });
  const room = `${server.said}${answer.headers.get('location')}`;
  native = await start(program, ['init', '--data', path.join(folder, 'native'), '--room', room, '--name', 'ada'],
    (line) => line.match(/^liferaft:[\w-]+$/)?.[0]);
  const channel = new URL(room).searchParams.get('channel');
  const query = new URLSearchParams({ channel, server: server.said, ice: 'ice.json', relay: '' });
  const page = await tab(browser, `${files.origin}/bare.html?${query}#${native.said.replace('liferaft:', '')}`);
  await shows(page, 'a tab that is relayed votes beside a native member', isVoter);
  await shows(page, 'its link goes through the server of TURN', hasRelayedLink);
  await say(page, 'through a relay');
  await shows(page, 'it chats', hasLine, 'through a relay');
}, async () => {
  await native?.stop('SIGKILL');
  await server.stop('SIGKILL');
  turn.kill('SIGKILL');
  files.close();
  rmSync(folder, { recursive: true });
  end();
});
