// What the chat page does with lines that nobody sees, and with the key that sends them: those that were said before the
// tab was there are not counted as unread, and Enter in the field of the name sends nothing. Run by
// `cargo xtask test --only browser`:
//
//   node unseen.mjs LIFERAFT CHROMIUM MODULES
//
// with the program, which was built with the pages, the browser, and the folder of node_modules.
import { check, endsWithin, launch, profile, shows, tab, told } from './kit.mjs';
import { hasLine, hasMembers, sayLine, serveChat } from './chat.mjs';

const [program, chromium, modules] = process.argv.slice(2);
const end = endsWithin(90_000);
const server = await serveChat(program);
const browser = await launch(modules, chromium);

// Run in the pages.
const isTitled = (title) => document.title === title;

await told(browser, async () => {
  const ada = await tab(browser, server.said);
  await shows(ada, 'a page founds', hasMembers, 1);
  for (const line of ['one', 'two']) await sayLine(ada, line);
  await shows(ada, 'two lines are said', hasLine, 'two');

  const hidden = await profile(browser);
  await hidden.addInitScript(() => Object.defineProperty(Document.prototype, 'hidden', { get: () => true }));
  const bob = await tab(browser, ada.url(), hidden);
  await shows(bob, 'a tab joins that nobody sees', hasMembers, 2);
  await shows(bob, 'it shows what was said', hasLine, 'two');
  check(await bob.title() === 'liferaft chat', 'none of which is unread');

  await ada.fill('#line', 'not yet');
  await ada.fill('#name', 'Ada');
  await ada.press('#name', 'Enter');
  check(await ada.evaluate(() => document.activeElement.id === 'line'), 'Enter ends a name');
  check(await ada.inputValue('#line') === 'not yet', 'and sends no line');
  await ada.press('#line', 'Enter');
  await shows(bob, 'a line comes', hasLine, 'not yet');
  await shows(bob, 'it alone is unread', isTitled, '(1) liferaft chat');
}, async () => {
  await server.stop('SIGKILL');
  end();
});
