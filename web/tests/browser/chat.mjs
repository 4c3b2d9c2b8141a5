// What tests do with the chat page, as people do.
import { start } from './kit.mjs';

// Starts a server of the chat, and returns it with the address of its pages. The program was built with them.
export function serveChat(program) {
  const args = ['serve', '--listen', '127.0.0.1:0', '--until-eof'];
  return start(program, args, (line) => line.match(/^chat at (http:\/\/127\.0\.0\.1:\d+\/)$/)?.[1]);
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
