// What the tests of clusters in tabs know of the pages that show a member: their addresses, where they show what, and
// how one writes and connects by them.

// Returns what a page shows of its member: the bare page, or that of the chat. It runs there, where nothing else of
// this file is.
export const read = () => {
  const text = (selector) => document.querySelector(selector)?.textContent ?? '';
  const texts = (selector) => [...document.querySelectorAll(selector)].map((item) => item.textContent);
  if (document.getElementById('history')) {
    const ids = (role) => [...document.querySelectorAll(`#members > li${role}`)].map((item) => item.dataset.id);
    return {
      id: document.body.dataset.id,
      term: Number(text('[data-stat=term]')),
      leader: document.getElementById('leader').dataset.id,
      link: text('#link'),
      voters: ids(':not([data-role=learner])'),
      learners: ids('[data-role=learner]'),
      linked: ids('[data-linked=true]'),
      lines: texts('#history .text'),
    };
  }
  const [id, term, link, key, timers] = ['#id', '#term', '#share', '#key', '#timers'].map(text);
  const leader = text('#leader').startsWith('0x') ? text('#leader') : undefined;
  const [voters, learners, lines] = ['#voters > li', '#learners > li', '#lines > li'].map(texts);
  const linked = texts('#links > li').filter((item) => / by rtc/.test(item)).map((item) => item.split(' ')[0]);
  return { id, term: Number(term), leader, link, key, timers, voters, learners, linked, lines };
};

// Types a line, and has it sent.
export async function say(page, line) {
  await page.fill('#line', line);
  await page.press('#line', 'Enter');
}

// The address of a page in a room of a server, of the one that founds there, and of one that joins elsewhere.
export const at = (origin, server, room, page = 'bare') => `${origin}/${page}.html?channel=${room}&server=${encodeURIComponent(server)}`;
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
