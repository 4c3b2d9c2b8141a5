// Bulk between two tabs of Chromium while both send heartbeats. Run by `cargo xtask test --only browser`, and with 16 MiB
// and figures beside their targets by `cargo xtask webrtc --tabs`:
//
//   node transfer.mjs CHROMIUM MODULES SITE MEBIBYTES RUNS [figures]
//
// with the browser, the folder of node_modules, the folder of the compiled example, how much is moved and how often.
// Counters must be right in any case; figures count when they are asked for.
import { check, endsWithin, launch, serveFiles, tab } from './kit.mjs';

const [chromium, modules, site, mebibytes, runs, figures] = process.argv.slice(2);
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
const discarded = async () => {
  const figures = [];
  for (const connection of window.connections) {
    for (const entry of (await connection.getStats()).values()) {
      if (entry.state === 'succeeded') figures.push(entry.packetsDiscardedOnSend);
    }
  }
  return figures;
};

async function transfer() {
  const open = async (number) => {
    const page = await tab(browser, 'about:blank');
    await page.addInitScript(keepConnections);
    await page.goto(`${files.origin}/transfer.html`);
    await page.evaluate(async ([number, mebibytes]) => {
      const { default: init, Tab } = await import('./transfer.js');
      await init();
      window.tab = new Tab(number, mebibytes);
    }, [number, Number(mebibytes)]);
    return page;
  };
  const [sender, receiver] = [await open(1), await open(2)];
  const offer = await sender.evaluate(() => tab.offer());
  const answer = await receiver.evaluate((offer) => tab.take(offer), offer);
  await sender.evaluate((answer) => tab.take(answer), answer);
  const reports = [];
  for (const page of [sender, receiver]) {
    const taken = await page.waitForFunction(() => {
      const report = tab.report();
      if (!report) return undefined;
      const names = ['began', 'ended', 'heartbeats', 'p50', 'p99', 'gap', 'links_down', 'broken', 'unacknowledged_peak', 'unacknowledged_max'];
      return Object.fromEntries(names.map((name) => [name, Number(report[name])]));
    }, undefined, { timeout: 60_000, polling: 100 });
    reports.push({ ...await taken.jsonValue(), discarded: await page.evaluate(discarded) });
  }
  for (const page of [sender, receiver]) await page.context().close();
  return reports;
}

try {
  for (let run = 1; run <= Number(runs); run += 1) {
    const [sender, receiver] = await transfer();
    for (const [who, report] of [['the sender', sender], ['the receiver', receiver]]) {
      check(report.discarded.length > 0 && report.discarded.every((packets) => packets === 0), `no packet of ${who} is discarded`);
      check(report.links_down === 0 && report.broken === 0, `the link of ${who} stays up, and credit is kept to`);
      check(report.unacknowledged_peak <= report.unacknowledged_max, `${who} has at most ${report.unacknowledged_max} bytes under way`);
      check(report.heartbeats > 0, `${who} has heartbeats meanwhile`);
    }
    if (!figures) continue;
    console.log(`${mebibytes} MiB between two tabs, run ${run} of ${runs}${' '.repeat(17)}measured  target`);
    line('first byte sent → last arrived, ms', receiver.ended - sender.began, 3000);
    line('worst gap in heartbeats at the receiver, ms', receiver.gap, 300);
    line('p99 of heartbeats to the receiver, ms', receiver.p99, 150);
    line('worst gap in heartbeats at the sender, ms', sender.gap, 300);
    line('p99 of heartbeats to the sender, ms', sender.p99, 150);
    console.log(`  (p50 ${receiver.p50.toFixed(0)} and ${sender.p50.toFixed(0)} ms, ${receiver.heartbeats} and ${sender.heartbeats} heartbeats)`);
  }
} finally {
  await browser.close();
  files.close();
  end();
}
if (!met) process.exitCode = 1;
