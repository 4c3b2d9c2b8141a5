// Members in tabs: three found a cluster in a room of `liferaft serve`, elect and chat; the cluster goes on without the
// server and without a tab that crashes, and takes in a tab that is loaded anew, a native member, without the server a
// tab by a member's link, and one whose link names nobody who is there. Run by
// `cargo xtask test --only browser`:
//
//   node rooms.mjs LIFERAFT CHROMIUM MODULES SITE
//
// with the program, the browser, the folder of node_modules, and the folder that `cargo xtask web` makes.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { all, chat, check, crash, endsWithin, launch, leading, makeRoom, seen, serveFiles, serveSignals, start, tab, told } from './kit.mjs';
import { at, founding } from './page.mjs';

const [program, chromium, modules, site] = process.argv.slice(2);
const end = endsWithin(120_000);
const files = await serveFiles(site);
let server = await serveSignals(program, files.origin);
const browser = await launch(modules, chromium);
const folder = mkdtempSync(path.join(tmpdir(), 'liferaft-rooms-'));
// As soon as a tab does, whoever leads.
const EVICT_AFTER_SECONDS = '10';
let native;

// These many vote, the one that shows it among them.
const vote = (count) => ({ id, voters }) => voters.length === count && voters.includes(id);
const has = (line) => ({ lines }) => lines.includes(line);

await told(browser, async () => {
  // The room, and the page in it, which is from elsewhere.
  const address = at(files.origin, server.said, await makeRoom(server.said));
  const ada = await tab(browser, founding(address));
  await all([ada], 'a first tab founds', ({ link }) => link);
  const [{ link }] = await seen([ada]);
  check(link.startsWith(`${address}#`) && link !== founding(address), 'its link has an invitation behind the #');
  const [bob, eve] = [await tab(browser, link), await tab(browser, link)];
  const tabs = [ada, bob, eve];
  await all(tabs, 'three tabs vote', vote(3));
  check((await seen(tabs)).every(({ key }) => key === 'browser'), 'their keys are where no script can read them');
  for (const [index, one] of tabs.entries()) await chat(one, tabs, `<b>line ${index}</b>`);

  const { page: freezing } = await leading(tabs);
  await freezing.evaluate(() => document.dispatchEvent(new Event('freeze')));
  await all([freezing], 'a tab that leads hands over when it is about to be frozen', ({ id, leader }) => leader && leader !== id);

  const [{ id: before }] = await seen([eve]);
  await eve.reload();
  await all([eve], 'a tab that is loaded anew comes back', has('<b>line 0</b>'));

  // A member with an address of its own, that finds the others in the room.
  const args = ['node', '--data', path.join(folder, 'native'), '--rtc', '127.0.0.1:0', '--evict-after', EVICT_AFTER_SECONDS, '--join', link];
  native = await start(program, args, (line) => /^(leads|follows)/.test(line));
  await chat(bob, tabs, 'a line for all, a native member among them');
  await all(tabs, 'four vote: the old self of that tab is evicted by its silence',
    (shown) => vote(4)(shown) && !shown.voters.includes(before) && shown.learners.length === 0);

  await server.stop('SIGKILL');
  await chat(ada, tabs, 'without the server');

  const dan = await tab(browser, (await seen([bob]))[0].link);
  await all([dan], 'a tab joins by a link of a member without the server', has('without the server'));
  await chat(dan, [...tabs, dan], 'hello, I am Dan');

  // Nobody says goodbye: the others notice by silence.
  const [{ id: crashed }] = await seen([ada]);
  const left = [bob, eve, dan];
  await crash(ada, left);
  await all(left, 'tabs go on without one that crashed', ({ leader }) => leader && leader !== crashed);
  await chat(bob, left, 'without Ada');
  check((await seen([eve]))[0].lines.at(-1) === 'without Ada', 'in one order');

  // It knows nothing of the room. Members come back, and a tab asks it for them whose link names nobody who is there.
  server = await serveSignals(program, files.origin, new URL(server.said).host);
  const fay = await tab(browser, link);
  await all([fay], 'a tab finds members in the room whom its link does not name', has('without Ada'));
}, async () => {
  await native?.stop('SIGKILL');
  await server.stop('SIGKILL');
  files.close();
  rmSync(folder, { recursive: true });
  end();
});
