// Whatever others write is only ever text, in the chat page: lines, names of members, and the address of the page; and
// a client that was made by hand, which speaks PeerJS's protocol in the room, harms nothing. Run by `cargo xtask test
// --only browser`:
//
//   node hostile.mjs LIFERAFT CHROMIUM MODULES
//
// with the program, which was built with the pages, the browser, and the folder of node_modules.
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { check, endsWithin, launch, serveSignals, shows, tab, told } from './kit.mjs';
import { asProgram, hasLine, hasMembers, sayLine, says, serveChat } from './chat.mjs';

const [program, chromium, modules] = process.argv.slice(2);
const WebSocket = createRequire(path.join(path.resolve(modules), 'here.js'))('ws');
const end = endsWithin(120_000);
const server = await serveChat(program);
const other = await serveSignals(program, new URL(server.said).origin);
const browser = await launch(modules, chromium);
const ATTACK = '<img src=x onerror="document.title=\'harmed\'"><script>document.title=\'harmed\'</script>';
const errors = [];

// Values that are no lines, as the member of a program may write them, and what is shown of them.
const VALUES = [
  ['no JSON <b>at all</b>', 'no JSON <b>at all</b>'],
  ['{"v":1,"text":5}', '{"v":1,"text":5}'],
  ['{"v":1,"name":{"toString":1},"text":"a name that is none","at":1e300}', 'a name that is none'],
  ['{"v":1,"name":"\u202egnp.exe\\u0000\\n","id":["x"],"text":"a name that turns","at":"now"}', 'a name that turns'],
  [`{"v":1,"__proto__":{"name":"x"},"text":${JSON.stringify(ATTACK)}}`, ATTACK],
  [`{"v":1,"text":"${'x'.repeat(100_000)}"}`, `${'x'.repeat(4_096)}…`],
  ['null', 'null'],
];

// Runs in the page of a program.
const write = async (values) => {
  for (const value of values) await window.node.append('chat', value);
};

// Returns what the server says to a client that sends these frames and leaves, or without any stays until it is closed.
const visit = (query, frames) => new Promise((done) => {
  const said = [];
  const socket = new WebSocket(`${server.said.replace(/^http/, 'ws')}peerjs?${query}`);
  socket.on('message', (data) => said.push(String(data)));
  socket.on('open', () => {
    for (const frame of frames ?? []) socket.send(frame);
    if (frames) socket.close();
  });
  socket.on('close', () => done(said));
  socket.on('error', () => done(said));
});

// What would make markup or code of a text.
const MAKERS = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTMLUnsafe|srcdoc|\beval\(|new Function/;

for (const folder of ['../../pages/', '../../js/'].map((it) => fileURLToPath(new URL(it, import.meta.url)))) {
  for (const name of readdirSync(folder)) {
    if (MAKERS.test(readFileSync(path.join(folder, name), 'utf8'))) throw new Error(`${name} makes markup or code of a text`);
  }
}

const isUnharmed = async (page) => await page.title() === 'liferaft chat' && await page.locator('#history img, #members img, script:not([src])').count() === 0;

await told(browser, async () => {
  const ada = await tab(browser, server.said);
  await shows(ada, 'a page founds', hasMembers, 1);
  const link = new URL(ada.url());
  const bob = await tab(browser, link.href);
  for (const page of [ada, bob]) {
    page.on('pageerror', (error) => errors.push(error));
    page.on('dialog', () => errors.push('a dialog'));
    await shows(page, 'two chat', hasMembers, 2);
  }
  await ada.fill('#name', '<b>Ada</b>');
  await sayLine(ada, ATTACK);
  await shows(bob, 'a line is shown as the text that it is', hasLine, ATTACK);
  check(await bob.textContent('#history li:last-child .author') === '<b>Ada</b>', 'and so is a name');

  const eve = await asProgram(browser, link, '<img src=x onerror=alert(1)>');
  await eve.evaluate(write, VALUES.map(([value]) => value));
  for (const [, shown] of VALUES) await shows(bob, `a value is shown as '${shown.slice(0, 40)}'`, hasLine, shown);
  await shows(bob, 'the name of a member is text', says, { id: 'members', words: '<img src=x onerror=alert(1)>' });
  check(await isUnharmed(ada) && await isUnharmed(bob), 'nothing of it is run');
  await eve.close();

  const room = link.searchParams.get('channel');
  const peers = await Promise.all([ada, bob].map((page) => page.evaluate(() => document.body.dataset.id.replace(/^0x/, ''))));
  const garbage = (dst) => [
    { type: 'OFFER', dst, payload: { sdp: { type: 'offer', sdp: ATTACK }, type: 'data', connectionId: ATTACK, label: ATTACK } },
    { type: 'ANSWER', dst, payload: null },
    { type: 'CANDIDATE', dst, payload: { candidate: { candidate: 'x'.repeat(30_000), sdpMid: ATTACK }, connectionId: 'liferaft_0_0' } },
    { type: 'CANDIDATE', dst, payload: { liferaft: 'ask' } },
    { type: 'OFFER', dst, payload: { sdp: { type: 'offer', sdp: 'v=0' }, connectionId: 'liferaft_0123456789abcdef_1' } },
    { type: 'LEAVE', dst },
    { type: 'EXPIRE', dst, payload: [[[[]]]] },
  ].map((message) => JSON.stringify(message));
  await visit(`key=${room}&id=eve&token=t`, peers.flatMap(garbage));
  const [taken] = await visit(`key=${room}&id=${peers[0]}&token=guessed`);
  check(taken.includes('ID-TAKEN'), 'a client by hand does not take the id of a tab');
  for (const [query, why] of [[`key=${room}&id=${encodeURIComponent(ATTACK)}&token=t`, 'Invalid id'], [`key=${encodeURIComponent(ATTACK)}&id=eve&token=t`, 'Invalid key']]) {
    const [said] = await visit(query);
    check(said.includes(why) && !said.includes('<'), `it gets in by no such name: ${why}`);
  }
  await sayLine(ada, 'after all that');
  await shows(bob, 'the tabs chat on', hasLine, 'after all that');

  for (const [address, words] of [
    [`?channel=${encodeURIComponent(ATTACK)}#${encodeURIComponent(ATTACK)}`, 'The room of this address is none'],
    [`?channel=${room}&server=${encodeURIComponent('javascript:document.title="harmed"')}#firstServer`, 'is no way to reach it'],
    [`?channel=${room}#${encodeURIComponent(ATTACK)}`, 'invitation'],
  ]) {
    const page = await tab(browser, `${server.said}${address}`);
    await shows(page, `an address is refused: ${words}`, says, { id: 'banner', words });
    check(await isUnharmed(page), 'and harms nothing');
    await page.close();
  }
  const hasty = await tab(browser, `${server.said}?channel=${room}&et=5#none`);
  await shows(hasty, 'an election timeout that is out of bounds is not used', says, { id: 'log', words: 'et is from 50 to 60000 ms' });
  const [lost, astray] = await Promise.all(['', `&server=${encodeURIComponent(other.said)}`].map(async (query) => {
    const page = await tab(browser, `${server.said}?channel=long-forgotten${query}`);
    await page.click('#new-room');
    return page;
  }));
  await shows(lost, 'a room that nobody knows founds nothing, and offers a new one', hasMembers, 1);
  check(!lost.url().includes('long-forgotten'), 'which is another');
  await shows(astray, 'where an address names a server', hasMembers, 1);
  check(astray.url().startsWith(`${other.said}/?channel=`), 'the new one is a room of that server');
  check(errors.length === 0, `no page has failed: ${errors}`);
}, async () => {
  await server.stop('SIGKILL');
  await other.stop('SIGKILL');
  end();
});
