// Counts how often a leader whose tab is closed has handed over. Run by `cargo xtask webrtc --hand-overs`:
//
//   node handovers.mjs LIFERAFT CHROMIUM MODULES SITE TIMES LEAST
//
// with the program, the browser, the folder of node_modules, the folder that `cargo xtask web` makes, how many leaders
// are closed, and how many of them must hand over.
import { all, check, departures, endsWithin, launch, leading, makeRoom, seen, serveFiles, serveSignals, tab, told } from './kit.mjs';
import { at, founding } from './page.mjs';

const [program, chromium, modules, site, times, least] = process.argv.slice(2);
const SIZE = 3;
// Nobody is elected so soon without having been told to: that takes an election timeout, which is a second and more,
// since the last word of the leader, which has one every 100 ms.
const HANDED_OVER_MS = 900;
const end = endsWithin(60_000 + 60_000 * Number(times));
const files = await serveFiles(site);
const server = await serveSignals(program, files.origin);
const browser = await launch(modules, chromium);
const took = [];

await told(browser, async () => {
  const address = at(files.origin, server.said, await makeRoom(server.said));
  const tabs = [await tab(browser, founding(address))];
  await all(tabs, 'a first tab founds', ({ link }) => link);
  while (took.length < Number(times)) {
    const [{ link }] = await seen(tabs);
    while (tabs.length < SIZE) tabs.push(await tab(browser, link));
    await all(tabs, `${SIZE} vote`, ({ id, voters, leader }) => leader && voters.length === SIZE && voters.includes(id));
    const { leader: gone, page: closed } = await leading(tabs);
    tabs.splice(tabs.indexOf(closed), 1);
    const before = await departures(closed);
    const began = Date.now();
    await Promise.all([closed.close(), all(tabs, 'another leads', ({ leader }) => leader && leader !== gone)]);
    took.push(Date.now() - began);
    check(await departures(closed) === before + 1, 'its page was told');
    await closed.context().close();
  }
  const handed = took.filter((milliseconds) => milliseconds < HANDED_OVER_MS).length;
  console.log(`another led after ${took.join(', ')} ms`);
  check(handed >= Number(least), `${handed} of ${took.length} leaders whose tabs were closed have handed over, target ${least}`);
}, async () => {
  await server.stop('SIGKILL');
  files.close();
  end();
});
