// The package in Node beside a native member, which it reaches over the WebSocket that it was given: it joins, each of
// the two leads, and both read what the other has written. Run by `cargo xtask test --only browser`:
//
//   node node.mjs LIFERAFT MODULES PACKAGE
//
// with the program, the folder of node_modules, and that of the package that `cargo xtask web` makes.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { check, endsWithin, start } from './kit.mjs';

const [program, modules, folder] = process.argv.slice(2);
const WebSocket = createRequire(path.join(path.resolve(modules), 'here.js'))('ws');
const end = endsWithin(60_000);
const data = mkdtempSync(path.join(tmpdir(), 'liferaft-node-'));
const { init, Liferaft } = await import(pathToFileURL(path.resolve(folder, 'node.js')).href);
const dialled = [];
class Given extends WebSocket {
  constructor(address) {
    super(address);
    dialled.push(address);
  }
}

const told = {};
const native = await start(program, ['init', '--data', path.join(data, 'ada'), '--listen', '127.0.0.1:0', '--name', 'ada', '--json'], (line) => {
  const news = JSON.parse(line);
  told[news.purpose ?? news.news] = news;
  return told.led;
});
try {
  const { invitation } = told.operator;
  const kv = async (...question) => (await promisify(execFile)(program, ['kv', ...question, '--at', invitation])).stdout;
  await init({ WebSocket: Given });
  const node = await Liferaft.join(told.member.invitation, { name: 'bob' });
  check(await node.joined({ timeoutMs: 30_000 }) === 'voter', 'a member in Node votes beside a native one');
  check(dialled.length > 0 && dialled.every((address) => address.startsWith('ws://127.0.0.1:')), 'by the WebSocket that it was given');
  await node.set('of', 'Node');
  check((await kv('get', 'of')).includes('Node'), 'the native member has what it writes');
  await kv('set', 'of', 'native');
  check((await node.get('of')).text === 'native', 'and the other way around');
  check(await node.transferLeadership(node.id, { timeoutMs: 20_000 }) === node.id, 'it leads');
  const { revision } = await node.append('led', 'by Node');
  check(revision > 0, 'and the native member acknowledges what it appends');
  await node.stop();
} finally {
  await native.stop('SIGKILL');
  rmSync(data, { recursive: true });
  end();
}
process.exit(0);
