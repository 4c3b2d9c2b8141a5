// A cluster of two native members and three tabs, without any signaling server: a native member leads and is killed, a
// tab leads and crashes, and all others go on each time. Run by `cargo xtask test --only browser`:
//
//   node mixed.mjs LIFERAFT CHROMIUM MODULES SITE
//
// with the program, the browser, the folder of node_modules, and the folder that `cargo xtask web` makes.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { all, chat, check, crash, endsWithin, launch, leading, seen, serveFiles, start, tab, told } from './kit.mjs';
import { joining } from './page.mjs';

const [program, chromium, modules, site] = process.argv.slice(2);
const end = endsWithin(120_000);
const files = await serveFiles(site);
const browser = await launch(modules, chromium);
const folder = mkdtempSync(path.join(tmpdir(), 'liferaft-mixed-'));
const natives = [];

// What a page is waited for to show.
const hasLeaderBut = (gone) => ({ leader }) => leader && leader !== gone;

// Runs a native member, and returns what it has told by when it takes part, by kind.
async function native(command, ...args) {
  const told = {};
  const name = `native ${natives.length}`;
  const data = path.join(folder, name);
  const found = (line) => {
    const news = JSON.parse(line);
    told[news.purpose ?? news.news] = news;
    return told.led;
  };
  natives.push(await start(program, [command, '--data', data, '--rtc', '127.0.0.1:0', '--name', name, '--json', ...args], found));
  return { ...told, ...natives.at(-1) };
}

// Returns the native member that leads. A tab that leads instead is told again and again that it is about to be frozen:
// it hands over to whom it has heard last.
async function untilNativeLeads(tabs, members) {
  for (;;) {
    const { leader, page } = await leading(tabs);
    const native = members.find(({ started }) => started.server === leader);
    if (native) return native;
    await page.evaluate(() => document.dispatchEvent(new Event('freeze')));
    await all(tabs, 'a tab hands over', hasLeaderBut(leader));
  }
}

// Asks the cluster as a client, and returns what it answers.
async function operate(invitation, ...question) {
  const { stdout } = await promisify(execFile)(program, [...question, '--at', invitation, '--json']);
  return JSON.parse(stdout);
}

await told(browser, async () => {
  const ada = await native('init');
  const operator = ada.operator.invitation;
  const bob = await native('node', '--join', ada.member.invitation);
  const link = joining(files.origin, ada.member.invitation);
  const tabs = await Promise.all([1, 2, 3].map(() => tab(browser, link)));
  await all(tabs, 'two native members and three tabs vote', ({ id, voters }) => voters.length === 5 && voters.includes(id));
  const killed = await untilNativeLeads(tabs, [ada, bob]);
  // One that is made now names both native members.
  const { invitation } = await operate(operator, 'members', 'invite', 'operator');
  await operate(operator, 'kv', 'append', 'chat', 'of a native client');
  await all(tabs, 'they hear of a native client', ({ lines }) => lines.at(-1) === 'of a native client');
  for (const [at, one] of tabs.entries()) await chat(one, tabs, `line ${at}, to a native member`);
  await killed.stop('SIGKILL');
  await all(tabs, 'all others go on when it is killed', hasLeaderBut(killed.started.server));
  await chat(tabs[0], tabs, 'without a native member');

  // A client has no way to a leader in a tab, which it need not have if one leads already.
  const ids = (await seen(tabs)).map(({ id }) => id);
  if (!(await leading(tabs)).page) await operate(invitation, 'members', 'transfer', ids[0]);
  await all(tabs, 'a tab leads', ({ leader }) => ids.includes(leader));
  for (const [at, one] of tabs.entries()) await chat(one, tabs, `line ${at}, to a tab`);
  const { leader, page: crashed } = await leading(tabs);
  const left = tabs.filter((one) => one !== crashed);
  await crash(crashed, left);
  await all(left, 'all others go on', hasLeaderBut(leader));
  await chat(left[1], left, 'without a tab');
  const [one, other] = (await seen(left)).map(({ lines }) => lines.join('\n'));
  check(one === other, 'the history is the same on both tabs');
}, async () => {
  for (const member of natives) await member.stop('SIGKILL');
  files.close();
  rmSync(folder, { recursive: true });
  end();
});
