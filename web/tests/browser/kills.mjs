// A cluster of tabs alone: they elect and chat; the one that leads crashes, or is closed; newcomers are connected with
// one member, and introduced to the others by that; just under half crash at once. All but the beginning is without the
// signaling server. Run by `cargo xtask test --only browser` with three tabs, and with more by `cargo xtask soak
// --tabs`:
//
//   node kills.mjs LIFERAFT CHROMIUM MODULES SITE TABS
//
// with the program, the browser, the folder of node_modules, the folder that `cargo xtask web` makes, and how many.
import { all, chat, check, close, crash, endsWithin, launch, leading, makeRoom, seen, serveFiles, serveSignals, tab, told } from './kit.mjs';
import { at, connect, founding } from './page.mjs';

const [program, chromium, modules, site, count] = process.argv.slice(2);
const size = Number(count);
const end = endsWithin(60_000 + 20_000 * size);
const files = await serveFiles(site);
const server = await serveSignals(program, files.origin);
const browser = await launch(modules, chromium);
let tabs = [];
let said = 0;

const without = (gone) => tabs.filter((tab) => !gone.includes(tab));

// All tabs vote, and nobody else, and each is linked with all: whoever has met the others only through one that crashes
// has lost them, as nobody else could introduce it.
const takesPart = ({ id, voters, linked, leader }) => leader && voters.length === tabs.length && voters.includes(id)
  && voters.every((voter) => voter === id || linked.includes(voter));

// Each tab says a line, and all have the same history.
async function chatFromEach() {
  for (const one of tabs) await chat(one, tabs, `line ${said += 1}`);
  const histories = (await seen(tabs)).map(({ lines }) => lines.join('\n'));
  check(histories.every((history) => history === histories[0]), `the ${said} lines are the same on all ${tabs.length}`);
}

// These are gone: the others elect, and evict them.
async function goOnWithout(gone, ids) {
  tabs = without(gone);
  await all(tabs, `others are followed without ${gone.length}`, ({ leader }) => leader && !ids.includes(leader));
  await chat(tabs[0], tabs, `line ${said += 1}`);
}

// Takes in a newcomer by the link of a member, with which it is connected by hand.
async function takeIn() {
  const [{ link }] = await seen(tabs);
  const newcomer = await tab(browser, link);
  await all([newcomer], 'a tab asks to join', ({ id }) => id);
  await connect(tabs[0], newcomer);
  tabs.push(newcomer);
  await all(tabs, `${tabs.length} take part, and nobody else`, takesPart);
  await all([newcomer], 'the newcomer has all lines', ({ lines }) => lines.length === said);
}

await told(browser, async () => {
  const address = at(files.origin, server.said, await makeRoom(server.said));
  tabs.push(await tab(browser, founding(address)));
  await all(tabs, 'a first tab founds', ({ link }) => link);
  const [{ link }] = await seen(tabs);
  tabs.push(...await Promise.all(Array.from({ length: size - 1 }, () => tab(browser, link))));
  await all(tabs, `${size} take part`, takesPart);
  await server.stop('SIGKILL');
  await chatFromEach();

  const { page: crashed, leader: crashedId } = await leading(tabs);
  await crash(crashed, without([crashed]));
  await goOnWithout([crashed], [crashedId]);
  await takeIn();

  const { page: closed, leader: closedId } = await leading(tabs);
  await close(closed);
  await goOnWithout([closed], [closedId]);
  await takeIn();

  const { page: leader } = await leading(tabs);
  const half = [leader, ...without([leader])].slice(0, Math.ceil(size / 2) - 1);
  const halfIds = (await seen(half)).map(({ id }) => id);
  for (const one of half) await crash(one, without(half));
  await goOnWithout(half, halfIds);
  await chatFromEach();
}, async () => {
  await server.stop('SIGKILL');
  files.close();
  end();
});
