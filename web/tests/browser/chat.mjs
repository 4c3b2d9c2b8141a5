// What tests do with the chat page, as people do.
import { start, tab } from './kit.mjs';

// Starts a server of the chat, and returns it with the address of its pages. The program was built with them.
export function serveChat(program) {
  const args = ['serve', '--listen', '127.0.0.1:0', '--until-eof'];
  return start(program, args, (line) => line.match(/^chat at (http:\/\/127\.0\.0\.1:\d+\/)$/)?.[1]);
}

// Opens a page that waits, at the address of one that is in a room, and joins there by the package alone. The member is
// `node` of the page's window.
export async function asProgram(browser, address, name) {
  const waiting = new URL(address);
  waiting.searchParams.set('paused', '');
  const page = await tab(browser, waiting.href);
  await page.evaluate(async (name) => {
    const found = performance.getEntriesByType('resource').map((it) => it.name).find((it) => /\/index[^/]*\.js$/.test(it));
    const { Liferaft, init } = await import(found);
    await init();
    const signaling = `${location.origin.replace(/^http/, 'ws')}/${new URLSearchParams(location.search).get('channel')}`;
    window.node = await Liferaft.join(location.hash.slice(1), { name, signaling, storage: 'memory', timeoutMs: 30_000 });
    await window.node.joined();
  }, name);
  return page;
}

// Run in the pages.
export const hasLine = (line) => [...document.querySelectorAll('#history .text')].some((item) => item.textContent === line);
export const hasMembers = (count) => document.body.dataset.state === 'joined'
  && document.getElementById('members').childElementCount === count && document.getElementById('link').textContent.includes('#');
export const says = ({ id, words }) => document.getElementById(id).textContent.includes(words);

export async function sayLine(page, line) {
  await page.fill('#line', line);
  await page.press('#line', 'Enter');
}
