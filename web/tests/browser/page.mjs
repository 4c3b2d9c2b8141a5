// What the tests of clusters in tabs know of the page that shows a member: its address, where it shows what, and how one
// joins, writes and connects by it.

// Returns what a page shows of its member. It runs there, where nothing else of this file is.
export const read = () => {
  const text = (id) => document.getElementById(id)?.textContent ?? '';
  const texts = (id) => [...(document.getElementById(id)?.children ?? [])].map((item) => item.textContent);
  const [id, term, link, key, timers] = ['id', 'term', 'share', 'key', 'timers'].map(text);
  const leader = text('leader').startsWith('0x') ? text('leader') : undefined;
  const [voters, learners, lines] = ['voters', 'learners', 'lines'].map(texts);
  return { id, term: Number(term), leader, link, key, timers, voters, learners, lines };
};

// Types a line, and has it sent.
export async function say(page, line) {
  await page.fill('#line', line);
  await page.press('#line', 'Enter');
}

// The address of a page in a room of a server, of the one that founds there, and of one that joins elsewhere.
export const at = (origin, server, room) => `${origin}/bare.html?channel=${room}&server=${encodeURIComponent(server)}`;
export const founding = (address) => `${address}#firstServer`;
export const joining = (origin, invitation) => `${origin}/bare.html#${invitation.replace(/^liferaft:/, '')}`;

// Connects a tab that asks to join with a member, by a text from each that is pasted into the other.
export async function connect(member, joining) {
  const given = async (page, word) => {
    await page.waitForFunction((word) => document.getElementById('given').value.startsWith(word), word, { polling: 50 });
    return page.inputValue('#given');
  };
  const take = async (page, value) => { await page.fill('#pasted', value); await page.click('#take'); };
  await member.click('#offer');
  await take(joining, await given(member, 'rtc-offer:'));
  await take(member, await given(joining, 'rtc-answer:'));
}
