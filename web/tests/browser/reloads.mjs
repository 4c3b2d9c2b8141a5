// Tabs of one browser chat. Without the signaling server they are loaded anew at once, and the one that leads crashes
// and is opened again: each comes back as one of those that they were, with all lines, and they find each other. Run by
// `cargo xtask test --only browser` with three tabs, and with more by `cargo xtask soak --tabs`:
//
//   node reloads.mjs LIFERAFT CHROMIUM MODULES SITE TABS
//
// with the program, the browser, the folder of node_modules, the folder that `cargo xtask web` makes, and how many.
import { all, chat, check, crash, endsWithin, launch, leading, makeRoom, profile, serveFiles, serveSignals, shows, tab, told } from './kit.mjs';
import { says } from './chat.mjs';
import { at, founding } from './page.mjs';

const [program, chromium, modules, site, count] = process.argv.slice(2);
const size = Number(count);
const end = endsWithin(60_000 + 20_000 * size);
const files = await serveFiles(site);
const server = await serveSignals(program, files.origin);
const browser = await launch(modules, chromium);

const takesPart = ({ id, voters, leader }) => leader && voters.length === size && voters.includes(id);
const idsOf = (shown) => shown.map(({ id }) => id).sort().join();

await told(browser, async () => {
  const address = at(files.origin, server.said, await makeRoom(server.said), 'chat');
  const shared = await profile(browser);
  const tabs = [await tab(browser, founding(address), shared)];
  const [{ link }] = await all(tabs, 'a first tab founds', ({ link }) => link.includes('#'));
  while (tabs.length < size) tabs.push(await tab(browser, link, shared));
  const ids = idsOf(await all(tabs, `${size} tabs vote`, takesPart));
  for (const [index, one] of tabs.entries()) await chat(one, tabs, `line ${index}`);

  await server.stop('SIGKILL');
  await Promise.all(tabs.map((one) => shows(one, 'a page says so', says, { id: 'signaling', words: 'server gone, the room goes on' })));
  await Promise.all(tabs.map((one) => one.reload()));
  check(idsOf(await all(tabs, `${size} tabs that were loaded anew vote`, takesPart)) === ids, 'they are who they were');
  await all(tabs, 'they have all lines', ({ lines }) => lines.length === size && lines.every((line, index) => line === `line ${index}`));
  await chat(tabs[0], tabs, 'all are back');

  const { leader, page: crashed } = await leading(tabs);
  const left = tabs.filter((one) => one !== crashed);
  await crash(crashed, left);
  await all(left, 'the others go on', ({ leader: next }) => next && next !== leader);
  await chat(left[0], left, 'without one');
  const again = await tab(browser, crashed.url(), shared);
  const [{ id }] = await all([again], 'one that crashed comes back', takesPart);
  check(id === leader, 'as who it was');
  await all([again], 'with all lines', ({ lines }) => lines.at(-1) === 'without one');
  await chat(again, [...left, again], 'back again');
}, async () => {
  await server.stop('SIGKILL');
  files.close();
  end();
});
