// A tab that somebody has removed from its room says so, forgets what it had stored, and comes back as another member
// when it is asked to, or is loaded again; what it has not sent stays there to read. Run by `cargo xtask test --only
// browser`:
//
//   node removed.mjs LIFERAFT CHROMIUM MODULES
//
// with the program, which was built with the pages, the browser, and the folder of node_modules.
import { POLL_MS, check, endsWithin, launch, shows, tab, told } from './kit.mjs';
import { asProgram, hasLine, hasMembers, sayLine, says, serveChat } from './chat.mjs';

const [program, chromium, modules] = process.argv.slice(2);
const end = endsWithin(90_000);
const server = await serveChat(program);
const browser = await launch(modules, chromium);

// Run in the pages.
const ownId = () => document.body.dataset.id;
const isIn = () => document.body.dataset.state === 'joined' && !document.body.classList.contains('excluded');
const stored = async () => (await indexedDB.databases()).map(({ name }) => name).join();

// Waits until a page has stopped its member, and nothing of it is stored.
async function forgets(page, id) {
  await shows(page, 'its member stops', () => document.body.dataset.state === 'stopped');
  while ((await page.evaluate(stored)).includes(id.slice(2))) await new Promise((later) => setTimeout(later, POLL_MS));
  check(true, 'and what it had stored is deleted');
}

await told(browser, async () => {
  const ada = await tab(browser, server.said);
  await shows(ada, 'a page founds', hasMembers, 1);
  const bob = await tab(browser, ada.url());
  await shows(bob, 'another joins', hasMembers, 2);
  await sayLine(bob, 'before');
  await shows(ada, 'they chat', hasLine, 'before');

  const id = await bob.evaluate(ownId);
  // As soon as it is told, when it is a member no more, and has not stopped.
  await bob.evaluate(() => document.addEventListener('liferaft:status', ({ detail }) => {
    const line = document.getElementById('line');
    if (!detail.status.exclusion || line.disabled || line.value !== '') return;
    line.value = 'too late';
    document.getElementById('say').requestSubmit();
    line.value = 'said';
  }));
  const operator = await asProgram(browser, ada.url(), 'operator');
  await operator.evaluate((id) => window.node.remove(id), id);
  await shows(bob, 'who is removed is told', says, { id: 'banner', words: 'removed you' });
  await forgets(bob, id);
  await bob.click('#rejoin');
  await shows(bob, 'it comes back', isIn);
  check(await bob.evaluate(ownId) !== id, 'as another member');
  await shows(bob, 'which has the history', hasLine, 'before');
  check((await bob.textContent('#outgoing')).includes('too late'), 'and shows what it was before has not sent');
  await sayLine(bob, 'after');
  await shows(ada, 'they chat again', hasLine, 'after');

  const again = await bob.evaluate(ownId);
  await operator.evaluate((id) => window.node.remove(id), again);
  await forgets(bob, again);
  await bob.reload();
  await shows(bob, 'it comes back by being loaded again', isIn);
  check(![id, again].includes(await bob.evaluate(ownId)), 'as another member');
  check(await ada.evaluate(() => !document.getElementById('history').textContent.includes('too late')), 'and nothing is sent behind the back');
}, async () => {
  await server.stop('SIGKILL');
  end();
});
