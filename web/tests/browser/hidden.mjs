// Members in tabs that nobody sees: Chromium holds up the timers of their pages, and they keep their time by a worker;
// a leader whose page is frozen hands over before, and follows when it goes on. Run by `cargo xtask test --only
// browser`:
//
//   node hidden.mjs LIFERAFT CHROMIUM SITE SECONDS
//
// with the program, the browser, the folder that `cargo xtask web` makes, and how long they are left to themselves,
// which `cargo xtask soak --tabs` does for longer than Chromium takes to hold up timers still more.
import { launch } from './devtools.mjs';
import { all, chat, check, endsWithin, makeRoom, seen, serveFiles, serveSignals } from './kit.mjs';
import { at, founding } from './page.mjs';

const [program, chromium, site, seconds] = process.argv.slice(2);
const end = endsWithin(120_000 + 2 * 1_000 * Number(seconds));
const files = await serveFiles(site);
const server = await serveSignals(program, files.origin);
const browser = await launch(chromium);
const tabs = [];

// Timers of 100 ms that are held up take as long as this on average, at least.
const HELD_UP_MS = 900;
// So many of them one after the other: several election timeouts.
const TIMERS = 6;
const LINE_EVERY_MS = 10_000;

// How long a timer of 100 ms takes on average, in the page. The first one may begin in the middle of a pause.
const timed = async (times) => {
  const wait = () => new Promise((rung) => setTimeout(rung, 100));
  await wait();
  const began = performance.now();
  for (let time = 0; time < times; time += 1) await wait();
  return (performance.now() - began) / times;
};

// Shows that nobody sees the tabs, and that their pages' timers are held up.
async function checkHidden() {
  const states = await Promise.all(tabs.map((tab) => tab.evaluate(() => document.visibilityState)));
  check(states.every((state) => state === 'hidden'), 'nobody sees the tabs');
  const took = await Promise.all(tabs.map((tab) => tab.evaluate(timed, TIMERS)));
  check(took.every((time) => time >= HELD_UP_MS), `their timers take ${Math.round(Math.min(...took))} ms and more`);
}

try {
  const address = at(files.origin, server.said, await makeRoom(server.said));
  const open = async (url) => { tabs.push(await browser.open(url)); };
  await open(founding(address));
  await all(tabs, 'a first tab founds', ({ link }) => link);
  const [{ link }] = await seen(tabs);
  await open(link);
  await open(link);
  await all(tabs, 'three tabs vote', ({ id, voters, leader }) => voters.length === 3 && voters.includes(id) && leader);

  await (await browser.open('about:blank')).activate();
  const [before] = await seen(tabs);
  await checkHidden();
  for (const until = Date.now() + 1_000 * Number(seconds); Date.now() < until;) {
    await new Promise((later) => setTimeout(later, LINE_EVERY_MS));
    const [{ term }] = await seen(tabs);
    await chat(tabs[1], tabs, `unseen in term ${term}, with ${Math.ceil((until - Date.now()) / 1_000)} s to come`);
  }
  await chat(tabs[1], tabs, 'unseen');
  await checkHidden();
  const after = await seen(tabs);
  check(after.every(({ timers }) => timers === 'worker'), 'a worker keeps their time');
  check(after.every(({ term }) => term === before.term), `nobody was elected since term ${before.term}`);
  check(after.every(({ leader }) => leader === before.leader), 'the same one leads');

  const [frozen] = tabs.splice(after.findIndex(({ id }) => id === before.leader), 1);
  await frozen.setLifecycle('frozen');
  await all(tabs, 'another leads when the page of the leader is frozen', ({ leader }) => leader && leader !== before.leader);
  const [next] = await seen(tabs);
  await frozen.setLifecycle('active');
  tabs.push(frozen);
  await all(tabs, 'all follow it when that page goes on', ({ leader }) => leader === next.leader);
  await chat(frozen, tabs, 'thawed');
} catch (error) {
  console.error(await seen(tabs).catch(String));
  throw error;
} finally {
  await browser.close();
  await server.stop('SIGKILL');
  files.close();
  end();
}
