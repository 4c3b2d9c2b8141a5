// Lines of the chat page that are written while nobody is reached are shown as pending, also when the page is loaded
// again, and go out once when the others are there again, as those that they were. Run by
// `cargo xtask test --only browser`:
//
//   node offline.mjs LIFERAFT CHROMIUM MODULES
//
// with the program, which was built with the pages, the browser, and the folder of node_modules.
import { check, endsWithin, launch, shows, tab, told } from './kit.mjs';
import { hasLine, hasMembers, says, sayLine, serveChat } from './chat.mjs';

const [program, chromium, modules] = process.argv.slice(2);
const end = endsWithin(120_000);
const server = await serveChat(program);
const browser = await launch(modules, chromium);
const LINES = ['written alone', 'and more'];

// Run in the pages.
const hasPending = (lines) => document.getElementById('pending').textContent === `${lines.length} pending`
  && lines.every((line, index) => document.querySelectorAll('#outgoing .text')[index]?.textContent === line);
const hasNonePending = () => document.getElementById('outgoing').childElementCount === 0;
const history = () => [...document.querySelectorAll('#history .text')].map((item) => item.textContent);
const isCalm = () => document.getElementById('banner').textContent === '' && document.getElementById('alone').hidden;
const ownId = () => document.body.dataset.id;

await told(browser, async () => {
  const ada = await tab(browser, server.said);
  await shows(ada, 'a page founds', hasMembers, 1);
  const others = [await tab(browser, ada.url()), await tab(browser, ada.url())];
  await Promise.all([ada, ...others].map((page) => shows(page, 'three chat', hasMembers, 3)));
  await sayLine(ada, 'with all');
  await Promise.all(others.map((page) => shows(page, 'a line reaches all', hasLine, 'with all')));
  const ids = await Promise.all(others.map((page) => page.evaluate(ownId)));

  const addresses = others.map((page) => page.url());
  await others[1].close();
  await shows(ada, 'one of three is not reached', says, { id: 'standing', words: '2 of 3 here' });
  await others[0].close();
  await shows(ada, 'the others are not counted as there', says, { id: 'standing', words: '1 of 3 here, nobody leads; 2 are not reached' });
  for (const line of LINES) await sayLine(ada, line);
  await shows(ada, 'lines are pending', hasPending, LINES);
  check(!(await ada.evaluate(history)).includes(LINES[0]), 'and not said');
  await shows(ada, 'people are told why', says, { id: 'banner', words: 'What you write is sent when' });

  // A phone, whose keyboard comes.
  const size = ada.viewportSize();
  await ada.setViewportSize({ width: 360, height: 800 });
  await ada.click('#name');
  await ada.setViewportSize({ width: 360, height: 380 });
  await ada.keyboard.type('!');
  check((await ada.inputValue('#name')).includes('!'), 'a name is written where a keyboard takes the room');
  await ada.focus('#line');
  check(await ada.isVisible('#pending'), 'and while a line is written it is shown that others are pending');
  check(await ada.$eval('.who', (who) => who.clientHeight < 44), 'in place of the name');
  await ada.setViewportSize(size);

  await ada.reload();
  await shows(ada, 'they are pending after a reload', hasPending, LINES);
  await shows(ada, 'where nobody else is reached that is said', says, { id: 'banner', words: 'Nobody else' });
  check(await ada.isVisible('#alone'), 'and there is a way to another room');

  const back = await Promise.all(others.map(async (page, index) => {
    const again = await page.context().newPage();
    await again.goto(addresses[index]);
    return again;
  }));
  const all = [ada, ...back];
  await Promise.all(all.map((page) => shows(page, 'they are said when the others are back', hasLine, LINES[1])));
  await shows(ada, 'nothing is pending', hasNonePending);
  await shows(ada, 'and nothing is told any more', isCalm);
  const expected = ['with all', ...LINES].join();
  const seen = await Promise.all(all.map((page) => page.evaluate(history)));
  check(seen.every((lines) => lines.join() === expected), 'each of them once, in their order, on all');
  check(String(await Promise.all(back.map((page) => page.evaluate(ownId)))) === String(ids), 'and all are who they were');
}, async () => {
  await server.stop('SIGKILL');
  end();
});
