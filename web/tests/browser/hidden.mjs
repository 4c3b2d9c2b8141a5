// Members in tabs that nobody sees: Chromium holds up the timers of their pages, and they keep their time by a worker; a
// leader whose page is frozen hands over before, and follows when it goes on. Run by
// `cargo xtask test --only browser`:
//
//   node hidden.mjs LIFERAFT CHROMIUM SITE
//
// with the program, the browser, and the folder that `cargo xtask web` makes.
import { check, endsWithin, serveFiles, start } from './kit.mjs';
import { launch } from './devtools.mjs';

const [program, chromium, site] = process.argv.slice(2);
const end = endsWithin(120_000);
const files = await serveFiles(site);
const server = await start(program, ['serve', '--listen', '127.0.0.1:0', '--allow-origin', files.origin, '--until-eof'],
  (line) => line.match(/^signaling at (http:\/\/127\.0\.0\.1:\d+)$/)?.[1]);
const browser = await launch(chromium);
const tabs = [];

// Timers of 100 ms that are held up take as long as this on average, at least.
const HELD_UP_MS = 900;
// So many of them one after the other: several election timeouts.
const TIMERS = 6;

// Run in the pages.
const isVoter = (voters) => document.getElementById('voters').children.length === voters
  && [...document.getElementById('voters').children].some((voter) => voter.textContent === document.getElementById('id').textContent);
const hasLine = (line) => [...document.getElementById('lines').children].some((item) => item.textContent === line);
const hasLeader = ({ leader, is }) => /^0x/.test(document.getElementById('leader').textContent)
  && (document.getElementById('leader').textContent === leader) === is;
const say = (line) => {
  document.getElementById('line').value = line;
  document.getElementById('say').requestSubmit();
};
// How long a timer of 100 ms takes on average. The first one may begin in the middle of a pause.
const timed = async (times) => {
  const wait = () => new Promise((rung) => setTimeout(rung, 100));
  await wait();
  const began = performance.now();
  for (let time = 0; time < times; time += 1) await wait();
  return (performance.now() - began) / times;
};

const all = (what, holds, argument) => Promise.all(tabs.map((tab) => tab.shows(what, holds, argument)));
const texts = (id) => Promise.all(tabs.map((tab) => tab.text(id)));

try {
  const answer = await fetch(`${server.said}/new`, { redirect: 'manual' });
  const room = answer.headers.get('location').match(/^\/\?channel=([0-9a-z]{20})#firstServer$/)[1];
  const page = `${files.origin}/bare.html?channel=${room}&server=${encodeURIComponent(server.said)}`;
  const open = async (url) => { const tab = await browser.open(url); tabs.push(tab); return tab; };
  const ada = await open(`${page}#firstServer`);
  await ada.shows('a first tab founds', () => document.getElementById('share').textContent);
  const link = await ada.text('share');
  await open(link);
  await open(link);
  await all('three tabs vote', isVoter, 3);

  await (await browser.open('about:blank')).activate();
  const before = await texts('term');
  const leaders = await texts('leader');
  const took = await Promise.all(tabs.map((tab) => tab.evaluate(timed, TIMERS)));
  const seen = await Promise.all(tabs.map((tab) => tab.evaluate(() => document.visibilityState)));
  check(seen.every((state) => state === 'hidden'), 'nobody sees the tabs');
  check(took.every((time) => time >= HELD_UP_MS), `their timers take ${Math.round(Math.min(...took))} ms and more`);
  await tabs[1].evaluate(say, 'unseen');
  await all('they chat', hasLine, 'unseen');
  check((await texts('timers')).every((keeper) => keeper === 'worker'), 'a worker keeps their time');
  check(String(await texts('term')) === String(before), `nobody was elected since term ${before[0]}`);
  check(String(await texts('leader')) === String(leaders), 'the same one leads');

  const at = (await texts('role')).indexOf('leader');
  const [frozen] = tabs.splice(at, 1);
  await frozen.setLifecycle('frozen');
  await all('another leads when the page of the leader is frozen', hasLeader, { leader: leaders[0], is: false });
  const [next] = await texts('leader');
  await frozen.setLifecycle('active');
  tabs.push(frozen);
  await all('all follow it when that page goes on', hasLeader, { leader: next, is: true });
  await frozen.evaluate(say, 'thawed');
  await all('and chat', hasLine, 'thawed');
} catch (error) {
  for (const tab of tabs) console.error(await tab.text('story').catch(String), await tab.evaluate(() => document.querySelector('dl').innerText).catch(String));
  throw error;
} finally {
  await browser.close();
  await server.stop('SIGKILL');
  files.close();
  end();
}
