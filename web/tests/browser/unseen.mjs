// What the chat page does with lines that nobody sees, and with what sends them: those that were said before the tab
// was there are not counted as unread, Enter in the field of the name sends nothing, a line that is too long stays, and a
// browser without much room says so.
// What it shows besides: statistics, a log of messages, and a button for another member. Run by
// `cargo xtask test --only browser`:
//
//   node unseen.mjs LIFERAFT CHROMIUM MODULES
//
// with the program, which was built with the pages, the browser, and the folder of node_modules.
import { check, endsWithin, launch, profile, shows, tab, told } from './kit.mjs';
import { hasLine, hasMembers, sayLine, says, serveChat } from './chat.mjs';

const [program, chromium, modules] = process.argv.slice(2);
const end = endsWithin(90_000);
const server = await serveChat(program);
const browser = await launch(modules, chromium);

// Run in the pages.
const isTitled = (title) => document.title === title;

await told(browser, async () => {
  const ada = await tab(browser, server.said);
  await shows(ada, 'a page founds', hasMembers, 1);
  await sayLine(ada, 'one');
  await ada.fill('#line', 'two');
  await ada.click('#send');
  await shows(ada, 'two lines are said', hasLine, 'two');

  const hidden = await profile(browser);
  await hidden.addInitScript(() => {
    Object.defineProperty(Document.prototype, 'hidden', { get: () => true });
    StorageManager.prototype.estimate = async () => ({ usage: 95, quota: 100 });
  });
  const bob = await tab(browser, ada.url(), hidden);
  await shows(bob, 'a tab joins that nobody sees', hasMembers, 2);
  await shows(bob, 'it shows what was said', hasLine, 'two');
  check(await bob.title() === 'liferaft chat', 'none of which is unread');
  await shows(bob, 'and says that its browser is nearly full', says, { id: 'banner', words: 'little room' });

  await ada.fill('#line', 'not yet');
  await ada.fill('#name', 'Ada');
  await ada.press('#name', 'Enter');
  check(await ada.evaluate(() => document.activeElement.id === 'line'), 'Enter ends a name');
  check(await ada.inputValue('#line') === 'not yet', 'and sends no line');
  await ada.press('#line', 'Enter');
  await shows(bob, 'a line comes', hasLine, 'not yet');
  await shows(bob, 'it alone is unread', isTitled, '(1) liferaft chat');

  // Longer than the field lets people write.
  await ada.$eval('#line', (line) => { line.value = '"'.repeat(4_000); line.form.requestSubmit(); });
  await shows(ada, 'a line that is too long is not sent', says, { id: 'banner', words: 'This is not sent: the message is too long' });
  check((await ada.inputValue('#line')).length === 4_000, 'and stays');
  await sayLine(ada, 'shorter');
  await shows(ada, 'until there is a shorter one that is not told any more', () => document.getElementById('banner').textContent === '');

  const facts = await ada.$$eval('#statistics td', (cells) => cells.map(({ textContent }) => textContent));
  check(facts.length === 9 && facts.filter((fact) => /^\d+$/.test(fact)).length === 7, `there are statistics: ${facts}`);
  check(/term \d+: LeaderChanged/.test(await ada.textContent('#log')), 'and a log of messages');
  const opened = ada.context().waitForEvent('page');
  await ada.click('#new-member');
  const eve = await opened;
  await shows(eve, 'another member comes by a button', hasMembers, 3);
  check(await eve.evaluate(() => opener === null), 'in a page that has no way to the one that opened it');
}, async () => {
  await server.stop('SIGKILL');
  end();
});
