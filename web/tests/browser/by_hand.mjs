// Members in tabs without any server: a tab founds, others join it by an offer and an answer that are copied from page
// to page, with some time between them. Run by `cargo xtask test --only browser`, and with two minutes between them by
// `cargo xtask webrtc --by-hand`:
//
//   node by_hand.mjs CHROMIUM MODULES SITE SECONDS
//
// with the browser, the folder of node_modules, the folder that `cargo xtask web` makes, and the seconds between a
// text's being made and its being taken.
import { check, endsWithin, launch, lines, serveFiles, shows, tab, text, told } from './kit.mjs';
import { say } from './page.mjs';

const [chromium, modules, site, seconds] = process.argv.slice(2);
const end = endsWithin(90_000 + 4 * 1_000 * Number(seconds));
const files = await serveFiles(site);
const browser = await launch(modules, chromium);

const LONG_LINES = 32;
const LONG_LINE_CHARS = 32 * 1024;

// Run in the pages.
const isVoter = (voters) => document.getElementById('voters').children.length === voters
  && [...document.getElementById('voters').children].some((voter) => voter.textContent === document.getElementById('id').textContent);
const hasLine = (line) => [...document.getElementById('lines').children].some((item) => item.textContent === line);
const hasLinks = (links) => [...document.getElementById('links').children].filter((link) => / by rtc \(.+ to .+ \(.+\)\)$/.test(link.textContent)).length === links;
const hasGiven = (word) => document.getElementById('given').value.startsWith(word);

const dawdle = () => new Promise((later) => setTimeout(later, 1_000 * Number(seconds)));
const given = async (page, word) => {
  await shows(page, `a page has ${word}…`, hasGiven, word);
  const value = await page.inputValue('#given');
  check(value.length <= 400, `of ${value.length} characters`);
  return value;
};
const take = async (page, value) => {
  await page.fill('#pasted', value);
  await page.click('#take');
};

async function connect(offering, answering) {
  await offering.click('#offer');
  const offer = await given(offering, 'rtc-offer:');
  await dawdle();
  await take(answering, offer);
  const answer = await given(answering, 'rtc-answer:');
  await dawdle();
  await take(offering, answer);
}

await told(browser, async () => {
  const ada = await tab(browser, `${files.origin}/bare.html#found`);
  await shows(ada, 'a first tab founds', () => document.getElementById('share').textContent);
  const link = await text(ada, 'share');
  const bob = await tab(browser, link);
  await shows(bob, 'a tab asks to join', () => document.getElementById('id').textContent);

  await take(bob, 'hello');
  await shows(bob, 'what is no offer is refused', () => /no offer or answer/.test(document.getElementById('story').textContent));
  await Promise.all([connect(ada, bob), dawdle()]);
  for (const page of [ada, bob]) await shows(page, 'two tabs vote', isVoter, 2);
  for (const page of [ada, bob]) await shows(page, 'their link names its carrier and both addresses', hasLinks, 1);

  // Whoever is connected with one member, who has invited it, is introduced to the others.
  const eve = await tab(browser, await text(bob, 'share'));
  await shows(eve, 'a tab asks to join', () => document.getElementById('id').textContent);
  await connect(bob, eve);
  for (const page of [ada, bob, eve]) await shows(page, 'three tabs vote', isVoter, 3);
  for (const page of [ada, bob, eve]) await shows(page, 'each has links with both others', hasLinks, 2);
  await say(eve, 'without any server');
  for (const page of [ada, bob, eve]) await shows(page, 'they chat', hasLine, 'without any server');

  // Bulk between tabs costs nobody the lead.
  const terms = () => Promise.all([ada, bob, eve].map((page) => text(page, 'term')));
  const before = await terms();
  for (let number = 0; number < LONG_LINES; number += 1) await say(bob, `${number} ${'x'.repeat(LONG_LINE_CHARS)}`);
  await say(bob, 'the last');
  for (const page of [ada, bob, eve]) await shows(page, 'each has all of some long lines', hasLine, 'the last');
  check((await lines(ada)).length === LONG_LINES + 2, 'in one order');
  check((await terms()).join() === before.join(), 'without an election');
}, () => {
  files.close();
  end();
});
