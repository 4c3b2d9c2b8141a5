// Takes pictures of the chat page, wide and narrow, light and dark, for people to look at; the wide light one is that
// of the README. Run by hand:
//
//   node web/tests/browser/pictures.mjs LIFERAFT CHROMIUM MODULES FOLDER
//
// with the program, which was built with the pages, the browser, the folder of node_modules, and where the pictures go.
import path from 'node:path';
import { endsWithin, launch, shows } from './kit.mjs';
import { hasLine, hasMembers, sayLine, says, serveChat } from './chat.mjs';

const [program, chromium, modules, folder] = process.argv.slice(2);
const end = endsWithin(120_000);
const server = await serveChat(program);
const browser = await launch(modules, chromium);

const WIDE = { width: 1200, height: 780 };
const NARROW = { width: 390, height: 844 };
const PAGES = [
  ['Lynx', 'wide-light', { viewport: WIDE, colorScheme: 'light' }],
  ['Heron', 'wide-dark', { viewport: WIDE, colorScheme: 'dark' }],
  ['Otter', 'narrow-light', { viewport: NARROW, colorScheme: 'light' }],
  ['Puffin', 'narrow-dark', { viewport: NARROW, colorScheme: 'dark' }],
];
const SAID = [
  ['Heron', 'The ferry is cancelled, storm warning until six.'],
  ['Otter', 'Then we meet at the hut? I have the key.'],
  ['Otter', 'And soup.'],
  ['Lynx', 'I am on the ridge: no mobile network here, only the access point of the hut.'],
  ['Puffin', 'Same here, and the server in the valley has just lost power.'],
  ['Heron', 'It is gone, and this goes on. Nice.'],
  ['Lynx', 'See you at six!'],
];

async function opened(address, name, options) {
  const context = await browser.newContext(options);
  await context.addInitScript((name) => localStorage.setItem('liferaft/name', name), name);
  const page = await context.newPage();
  await page.goto(address);
  return page;
}

try {
  const pages = new Map();
  for (const [name, , options] of PAGES) {
    const [first] = pages.values();
    const page = await opened(first?.url() ?? server.said, name, options);
    pages.set(name, page);
    for (const one of pages.values()) await shows(one, `${name} is there`, hasMembers, pages.size);
  }
  const everyone = [...pages.values()];
  for (const [index, [name, line]] of SAID.entries()) {
    if (index === 5) await server.stop('SIGKILL');
    await sayLine(pages.get(name), line);
    await Promise.all(everyone.map((one) => shows(one, `all have '${line}'`, hasLine, line)));
  }
  await Promise.all(everyone.map((one) => shows(one, 'the server is gone', says, { id: 'signaling', words: 'gone' })));
  for (const [name, picture, { viewport }] of PAGES) {
    const page = pages.get(name);
    const take = (what) => page.screenshot({ path: path.join(folder, `${what}.png`) });
    await take(picture);
    if (viewport === NARROW) await page.click('#open-room');
    for (const closed of await page.$$('summary')) await closed.click();
    await page.$eval('#log', (log) => log.scrollIntoView({ block: 'end' }));
    await take(`${picture}-room`);
  }
} finally {
  await browser.close();
  await server.stop('SIGKILL');
  end();
}
