// Members in tabs: three found a cluster in a room of `liferaft serve`, elect and chat; the cluster goes on without the
// server and without a tab that crashes, and takes in a tab that is loaded anew, a native member, and without the server a
// tab by a member's link. Run by
// `cargo xtask test --only browser`:
//
//   node rooms.mjs LIFERAFT CHROMIUM MODULES SITE
//
// with the program, the browser, the folder of node_modules, and the folder that `cargo xtask web` makes.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { check, endsWithin, launch, lines, say, serveFiles, shows, start, tab, text } from './kit.mjs';

const [program, chromium, modules, site] = process.argv.slice(2);
const end = endsWithin(120_000);
const files = await serveFiles(site);
const server = await start(program, ['serve', '--listen', '127.0.0.1:0', '--allow-origin', files.origin, '--until-eof'],
  (line) => line.match(/^signaling at (http:\/\/127\.0\.0\.1:\d+)$/)?.[1]);
const browser = await launch(modules, chromium);
const folder = mkdtempSync(path.join(tmpdir(), 'liferaft-rooms-'));
let native;

// Run in the pages.
const isVoter = (voters) => document.getElementById('voters').children.length === voters
  && [...document.getElementById('voters').children].some((voter) => voter.textContent === document.getElementById('id').textContent);
const hasLine = (line) => [...document.getElementById('lines').children].some((item) => item.textContent === line);
const hasLeader = (but) => /^0x/.test(document.getElementById('leader').textContent)
  && document.getElementById('leader').textContent !== but;
const follows = () => document.getElementById('role').textContent === 'follower'
  && /^0x/.test(document.getElementById('leader').textContent);

const all = (pages, what, holds, argument) => Promise.all(pages.map((page) => shows(page, what, holds, argument)));

try {
  // The room, and the page in it, which is from elsewhere.
  const answer = await fetch(`${server.said}/new`, { redirect: 'manual' });
  const room = answer.headers.get('location').match(/^\/\?channel=([0-9a-z]{20})#firstServer$/)[1];
  const page = `${files.origin}/bare.html?channel=${room}&server=${encodeURIComponent(server.said)}`;

  const ada = await tab(browser, `${page}#firstServer`);
  await shows(ada, 'a first tab founds', () => document.getElementById('share').textContent);
  const link = await text(ada, 'share');
  check(link.startsWith(`${page}#`) && !link.endsWith('#firstServer'), 'its link has an invitation behind the #');
  const [bob, eve] = [await tab(browser, link), await tab(browser, link)];
  await all([ada, bob, eve], 'three tabs vote', isVoter, 3);
  for (const tab_ of [ada, bob, eve]) check(await text(tab_, 'key') === 'browser', 'its key is where no script can read it');
  for (const [index, tab_] of [ada, bob, eve].entries()) await say(tab_, `<b>line ${index}</b>`);
  for (const index of [0, 1, 2]) await all([ada, bob, eve], 'each tab shows each line, as text', hasLine, `<b>line ${index}</b>`);

  const roles = await Promise.all([ada, bob, eve].map((tab_) => text(tab_, 'role')));
  const leading = [ada, bob, eve][roles.indexOf('leader')];
  await leading.evaluate(() => document.dispatchEvent(new Event('freeze')));
  await shows(leading, 'a tab that leads hands over when it is about to be frozen', follows);

  await eve.reload();
  await shows(eve, 'a tab that is loaded anew comes back', hasLine, '<b>line 0</b>');

  // A member with an address of its own, that finds the others in the room.
  native = await start(program, ['node', '--data', path.join(folder, 'native'), '--rtc', '127.0.0.1:0', '--join', link], (line) => /^(leads|follows)/.test(line));
  await say(bob, 'a line for all');
  await shows(eve, 'they chat with a native member among them', hasLine, 'a line for all');

  await all([ada, bob, eve], 'four vote: the old self of that tab is evicted by its silence', isVoter, 4);

  await server.stop('SIGKILL');
  await say(ada, 'without the server');
  await all([ada, bob, eve], 'tabs chat without the server', hasLine, 'without the server');

  const dan = await tab(browser, await text(bob, 'share'));
  await shows(dan, 'a tab joins by a link of a member without the server', hasLine, 'without the server');
  await say(dan, 'hello, I am Dan');
  await all([ada, bob, eve], 'and chats with all', hasLine, 'hello, I am Dan');

  // Nobody says goodbye: the others notice by silence.
  const adaId = await text(ada, 'id');
  await ada.goto('chrome://crash').catch(() => {});
  await all([bob, eve, dan], 'tabs go on without one that crashed', hasLeader, adaId);
  await say(bob, 'without Ada');
  await all([bob, eve, dan], 'and chat', hasLine, 'without Ada');
  check((await lines(eve)).at(-1) === 'without Ada', 'in one order');
} catch (error) {
  for (const context of browser.contexts()) {
    for (const page of context.pages()) console.error(await page.textContent('main', { timeout: 1_000 }).catch(String));
  }
  throw error;
} finally {
  await browser.close();
  await native?.stop('SIGKILL');
  await server.stop('SIGKILL');
  files.close();
  rmSync(folder, { recursive: true });
  end();
}
