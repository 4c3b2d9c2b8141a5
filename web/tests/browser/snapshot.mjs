// A newcomer in one tab of Chromium takes in the snapshot of a member in another, while heartbeats go on. Run by
// `cargo xtask test --only browser`, and with 16 MB and figures beside their targets by `cargo xtask webrtc --tabs`:
//
//   node snapshot.mjs CHROMIUM MODULES SITE VALUES RUNS [figures]
//
// with the browser, the folder of node_modules, the folder of the compiled example, of how many values of 500 kB the
// snapshot is, and how often.
// Counters must be right in any case; figures count when they are asked for.
import { check, endsWithin, launch, serveFiles, tab } from './kit.mjs';

const [chromium, modules, site, values, runs, figures] = process.argv.slice(2);
const end = endsWithin(110_000);
const files = await serveFiles(site);
const browser = await launch(modules, chromium);
let met = true;

function line(about, value, target) {
  const isMet = value <= target;
  met &&= isMet;
  console.log(`  ${about.padEnd(48)}${value.toFixed(0).padStart(8)}${String(target).padStart(8)}   ${isMet ? 'met' : 'missed'}`);
}

// Keeps what the page makes, for its figures.
const keepConnections = () => {
  const Made = RTCPeerConnection;
  window.connections = [];
  window.RTCPeerConnection = class extends Made {
    constructor(...configuration) { super(...configuration); window.connections.push(this); }
  };
};
// How many packets each connection has discarded: all its pairs of addresses that work count.
const discarded = () => Promise.all(window.connections.map(async (connection) => {
  const pairs = [...(await connection.getStats()).values()].filter(({ state }) => state === 'succeeded');
  return pairs.reduce((packets, pair) => packets + pair.packetsDiscardedOnSend, pairs.length ? 0 : NaN);
}));

async function run() {
  const open = async () => {
    const page = await tab(browser, 'about:blank');
    await page.addInitScript(keepConnections);
    await page.goto(`${files.origin}/snapshot.html`);
    await page.evaluate(async () => {
      const { default: init, Tab } = await import('./snapshot.js');
      await init();
      window.Tab = Tab;
    });
    return page;
  };
  const [leader, newcomer] = [await open(), await open()];
  const invitation = await leader.evaluate(async (values) => {
    window.member = await Tab.found(values);
    return member.invite();
  }, Number(values));
  await newcomer.evaluate(async (invitation) => { window.member = await Tab.join(invitation); }, invitation);
  const offer = await leader.evaluate(() => member.offer());
  const answer = await newcomer.evaluate((offer) => member.take(offer), offer);
  await leader.evaluate((answer) => member.take(answer), answer);
  const joinedAt = await newcomer.evaluate(() => member.joined());
  const reports = [];
  for (const page of [leader, newcomer]) {
    reports.push({ ...await page.evaluate(() => member.report()), discarded: await page.evaluate(discarded) });
    await page.context().close();
  }
  return [...reports, joinedAt];
}

try {
  for (let number = 1; number <= Number(runs); number += 1) {
    const [leader, newcomer, joinedAt] = await run();
    for (const [who, report, elections] of [['the leader', leader, 1], ['the newcomer', newcomer, 0]]) {
      check(report.discarded.length > 0 && report.discarded.every((packets) => packets === 0), `no packet of ${who} is discarded`);
      // A link whose other end goes beyond its credit is closed, and another one is made in its place.
      check(report.broken === 0 && report.discarded.length === 1, `the link of ${who} stays up, and credit is kept to`);
      check(report.underWay <= report.underWayMax, `${who} has at most ${report.underWayMax} bytes under way`);
      check(report.elections === elections, `${who} stood for ${elections} elections`);
      check(report.heartbeats > 0, `${who} has heartbeats meanwhile`);
    }
    if (!figures) continue;
    const megabytes = Math.floor(newcomer.bulkBytes / 1e6);
    console.log(`a snapshot of ${megabytes} MB between two tabs, run ${number} of ${runs}`.padEnd(50) + 'measured  target');
    line('first byte sent → the newcomer votes, ms', joinedAt - leader.began, 3000);
    line('longest gap, at the newcomer, ms', newcomer.gap, 300);
    line('p99 of heartbeats to the newcomer, ms', newcomer.p99, 150);
    line('longest gap, at the leader, ms', leader.gap, 300);
    line('p99 of heartbeats to the leader, ms', leader.p99, 150);
    console.log(`  (p50 ${newcomer.p50.toFixed(0)} and ${leader.p50.toFixed(0)} ms, ${newcomer.heartbeats} and ${leader.heartbeats} heartbeats)`);
  }
} finally {
  await browser.close();
  files.close();
  end();
}
if (!met) process.exitCode = 1;
