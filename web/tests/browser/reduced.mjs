// The chat over plain HTTP from another name than localhost, where browsers have no locks, no hidden keys and no
// clipboard: it says so, and each tab is a member that is kept in memory. Run by `cargo xtask test --only browser`:
//
//   node reduced.mjs LIFERAFT CHROMIUM MODULES
//
// with the program, which was built with the pages, the browser, and the folder of node_modules.
import { check, endsWithin, launch, shows, tab, text, told } from './kit.mjs';
import { hasLine, hasMembers, sayLine, serveChat } from './chat.mjs';

const [program, chromium, modules] = process.argv.slice(2);
const end = endsWithin(90_000);
const server = await serveChat(program);
const browser = await launch(modules, chromium, ['--host-resolver-rules=MAP chat.test 127.0.0.1']);
const page = server.said.replace('127.0.0.1', 'chat.test');

// Run in the pages.
const ownId = () => document.body.dataset.id;

await told(browser, async () => {
  const ada = await tab(browser, page);
  await shows(ada, 'a page founds', hasMembers, 1);
  check(await ada.evaluate(() => !isSecureContext && !navigator.locks && !crypto.subtle), 'it has no locks and no hidden keys');
  check(await ada.isVisible('#reduced'), 'it says that it keeps nothing');
  check((await ada.textContent('[data-stat="storage"]')).includes('memory'), 'its member is in memory');

  // A page that is loaded again comes back as another member: a majority of those before it must be left.
  const all = [ada, await tab(browser, ada.url()), await tab(browser, ada.url())];
  const [, bob] = all;
  await Promise.all(all.map((one) => shows(one, 'others join by its link', hasMembers, 3)));
  await sayLine(ada, 'from Ada');
  await sayLine(bob, 'from Bob');
  for (const line of ['from Ada', 'from Bob']) await Promise.all(all.map((one) => shows(one, `all have '${line}'`, hasLine, line)));

  const before = await bob.evaluate(ownId);
  await bob.reload();
  await shows(bob, 'a page that is loaded again has the history', hasLine, 'from Bob');
  check(await bob.evaluate(ownId) !== before, 'as another member');

  await ada.click('#copy');
  check(await ada.evaluate(() => String(getSelection())) === await text(ada, 'link'), 'the link is selected where it cannot be copied');
}, async () => {
  await server.stop('SIGKILL');
  end();
});
