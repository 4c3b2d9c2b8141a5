// A tab that somebody has removed from its room says so, and comes back as another member when it is asked to; what it
// has not sent stays there to read. Run by `cargo xtask test --only browser`:
//
//   node removed.mjs LIFERAFT CHROMIUM MODULES
//
// with the program, which was built with the pages, the browser, and the folder of node_modules.
import { check, endsWithin, launch, shows, tab, told } from './kit.mjs';
import { asProgram, hasLine, hasMembers, sayLine, says, serveChat } from './chat.mjs';

const [program, chromium, modules] = process.argv.slice(2);
const end = endsWithin(90_000);
const server = await serveChat(program);
const browser = await launch(modules, chromium);

// Run in the pages.
const ownId = () => document.body.dataset.id;
const isIn = () => document.body.dataset.state === 'joined' && !document.body.classList.contains('excluded');

await told(browser, async () => {
  const ada = await tab(browser, server.said);
  await shows(ada, 'a page founds', hasMembers, 1);
  const bob = await tab(browser, ada.url());
  await shows(bob, 'another joins', hasMembers, 2);
  await sayLine(bob, 'before');
  await shows(ada, 'they chat', hasLine, 'before');

  const id = await bob.evaluate(ownId);
  const operator = await asProgram(browser, ada.url(), 'operator');
  await operator.evaluate((id) => window.node.remove(id), id);
  await shows(bob, 'who is removed is told', says, { id: 'banner', words: 'removed you' });
  await sayLine(bob, 'too late');
  await bob.click('#rejoin');
  await shows(bob, 'it comes back', isIn);
  check(await bob.evaluate(ownId) !== id, 'as another member');
  await shows(bob, 'which has the history', hasLine, 'before');
  check((await bob.textContent('#outgoing')).includes('too late'), 'and shows what it was before has not sent');
  await sayLine(bob, 'after');
  await shows(ada, 'they chat again', hasLine, 'after');
  check(await ada.evaluate(() => !document.getElementById('history').textContent.includes('too late')), 'and nothing is sent behind the back');
}, async () => {
  await server.stop('SIGKILL');
  end();
});
