// What the page shows. Whatever others have written gets into it by `textContent` alone.
import { plain } from './lines.js';

// So many lines are shown at most: older ones stay in the cluster.
const SHOWN_MAX = 5_000;
const LOG_MAX = 500;
// A line of the same author within this time has no head of its own.
const CONTINUED_MS = 5 * 60_000;
// Whoever is this near to the end of the history sees its end, in CSS pixels.
const NEAR_END = 48;

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

export const element = (id) => document.getElementById(id);
export const show = (id, isShown) => { element(id).hidden = !isShown; };

export function made(name, text, classes = '') {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (classes) node.className = classes;
  return node;
}

// Tells people what happens, once.
export function tell(text) {
  const banner = element('banner');
  if (banner.textContent !== text) banner.textContent = text;
}

export function note(text) {
  const log = element('log');
  log.append(made('li', `${new Date().toISOString().slice(11, 23)}  ${text}`));
  while (log.childElementCount > LOG_MAX) log.firstElementChild.remove();
}

// ---------------------------------------------------------------------------------------------------------------------
// Lines

let unread = 0;
let listed;
// Whether the end was seen before the first change of this frame; undefined until there is one.
let wasAtEnd;

// Shows lines that were said, each `{ place, id, name, text, at }`, behind those that are shown. Of those from
// the place `newsFrom` on, what others have said and nobody sees is counted.
export function append(lines, self, newsFrom) {
  const history = element('history');
  keepEnd();
  const all = document.createDocumentFragment();
  let before = history.lastElementChild;
  for (const line of lines) {
    before = said(line, before, self);
    all.append(before);
  }
  history.append(all);
  while (history.childElementCount > SHOWN_MAX) history.firstElementChild.remove();
  show('empty', false);
  if (!wasAtEnd) show('latest', true);
  if (document.hidden) count(unread + lines.filter(({ id, place }) => id !== self && place >= newsFrom).length);
}

function said(line, before, self) {
  const item = made('li');
  item.dataset.place = line.place;
  if (line.at !== undefined) item.dataset.at = line.at;
  const author = line.name ?? 'somebody';
  item.dataset.author = `${line.id}/${author}`;
  if (line.id !== undefined && line.id === self) item.classList.add('own');
  const isContinued = before?.dataset.author === item.dataset.author && line.at - Number(before.dataset.at) < CONTINUED_MS;
  const head = made('p', undefined, isContinued ? 'head unseen' : 'head');
  head.append(made('bdi', author, 'author'));
  if (line.at !== undefined) {
    const at = new Date(line.at);
    const isOld = Math.abs(Date.now() - line.at) > 12 * 3_600_000;
    const time = made('time', (isOld ? DAY : TIME).format(at));
    time.dateTime = at.toISOString();
    head.append(' ', time);
  }
  const text = made('p', line.text, 'text');
  text.dir = 'auto';
  item.append(head, text);
  if (isContinued) item.classList.add('continued');
  return item;
}

// Forgets the lines before a place, or all.
export function drop(before = Infinity) {
  const history = element('history');
  while (history.firstElementChild && Number(history.firstElementChild.dataset.place) < before) history.firstElementChild.remove();
}

const STATES = { waiting: 'waits for the others', sent: 'is being sent', 'given-up': 'may have been sent or not', lost: 'was not sent' };

// Shows what was written here and is on its way, each `{ text, state }`.
export function outgoing(lines) {
  keepEnd();
  element('outgoing').replaceChildren(...lines.map(({ text, state }) => {
    const item = made('li');
    item.dataset.state = state;
    const words = made('p', text, 'text');
    words.dir = 'auto';
    item.append(words, made('p', STATES[state] ?? state, 'fate'));
    return item;
  }));
  const waiting = lines.filter(({ state }) => state === 'waiting' || state === 'sent').length;
  put('pending', waiting === 0 ? '' : `${waiting} pending`);
  if (lines.length > 0) show('empty', false);
}

// Has whoever sees the end see it after the changes of this frame. It is asked for and gone to once a frame: for each
// of many lines alone all of them would be laid out.
function keepEnd() {
  if (wasAtEnd !== undefined) return;
  wasAtEnd = isAtEnd();
  requestAnimationFrame(() => {
    if (wasAtEnd) toEnd();
    wasAtEnd = undefined;
  });
}

function isAtEnd() {
  const scroll = element('scroll');
  return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_END;
}

export function toEnd() {
  const scroll = element('scroll');
  scroll.scrollTop = scroll.scrollHeight;
  if (wasAtEnd === false) wasAtEnd = true;
  show('latest', false);
}

function count(lines) {
  unread = lines;
  document.title = unread > 0 ? `(${unread}) liferaft chat` : 'liferaft chat';
}

// ---------------------------------------------------------------------------------------------------------------------
// The room

// A text that stays is not set again: screen readers would say it again.
const put = (id, text) => { if (element(id).textContent !== text) element(id).textContent = text; };

const nameOf = (member) => plain(member.name) ?? `member ${member.id.slice(0, 6)}`;

export function standing(status, members, storage) {
  const leader = members.find((member) => member.id === status.leader);
  const led = status.isLeader ? 'you' : leader && nameOf(leader);
  // A member that is away stays one, and is evicted later or never.
  const away = members.filter(({ isSelf, link }) => !isSelf && !link);
  const here = away.length === 0 ? `${members.length}` : `${members.length - away.length} of ${members.length}`;
  const people = members.length === 1 ? 'only you' : `${here} here`;
  const missed = away.length === 0 ? '' : away.length === 1 ? `; ${nameOf(away[0])} is not reached` : `; ${away.length} are not reached`;
  const isIn = members.some(({ isSelf }) => isSelf);
  element('standing').textContent = !isIn ? 'not in the room' : `${people}, ${led ? `led by ${led}` : 'nobody leads'}${missed}`;
  element('leader').textContent = led ?? 'nobody';
  element('leader').dataset.id = status.leader ?? '';
  show('people', true);
  element('count').textContent = members.length > 0 ? `(${here})` : '';
  // What is the same stays, so that people can select it.
  const facts = JSON.stringify(members);
  if (facts !== listed) list(members);
  listed = facts;
  const servers = status.signaling;
  const isServed = servers.some(({ isConnected }) => isConnected);
  put('signaling', servers.length === 0 ? '' : isServed ? 'server connected' : 'server gone, the room goes on');
  element('signaling').dataset.connected = isServed;
  const { messages } = status;
  statistics({
    term: status.term,
    state: status.role,
    members: status.voters.length + status.learners.length,
    log: status.last,
    'votes-sent': messages.votesSent,
    'votes-received': messages.votesReceived,
    'appends-sent': messages.appendsSent,
    'appends-received': messages.appendsReceived,
    storage: storage.kind === 'memory' ? 'memory of this tab' : 'this browser',
  });
}

function list(members) {
  const sorted = [...members].sort((one, other) => other.isSelf - one.isSelf || nameOf(one).localeCompare(nameOf(other)));
  element('members').replaceChildren(...sorted.map((member) => {
    const item = made('li');
    item.dataset.id = member.id;
    item.dataset.role = member.role;
    const isLinked = member.isSelf || member.link !== undefined;
    item.dataset.linked = isLinked;
    item.append(made('bdi', nameOf(member)));
    const facts = [];
    if (member.isSelf) facts.push('you');
    if (member.role === 'leader') facts.push('leads');
    if (member.role === 'learner') facts.push('catches up');
    if (!isLinked) facts.push('not connected');
    if (facts.length > 0) item.append(' ', made('span', facts.join(', '), 'fact'));
    return item;
  }));
}

function statistics(values) {
  for (const cell of document.querySelectorAll('#statistics td')) cell.textContent = values[cell.dataset.stat];
}

export function invited({ text, link, qr }) {
  show('invite', true);
  const shown = element('link');
  // What is the same stays, so that people can select it.
  if (shown.textContent === (link ?? text)) return;
  shown.textContent = link ?? text;
  shown.href = link ?? '';
  element('new-member').href = link ?? '';
  element('qr').replaceChildren();
  if (qr) {
    const code = qr.svg(document);
    code.setAttribute('role', 'img');
    code.setAttribute('aria-label', 'QR code of the link');
    element('qr').append(code);
  }
  show('qr', Boolean(qr));
}

// Makes what works without a member work: the panel on narrow screens, the end of the history, the link.
export function wire() {
  const room = element('open-room');
  const open = (isOpen) => {
    document.body.classList.toggle('in-room', isOpen);
    room.setAttribute('aria-expanded', String(isOpen));
    room.textContent = isOpen ? 'Chat' : 'Room';
  };
  room.addEventListener('click', () => open(room.getAttribute('aria-expanded') !== 'true'));
  addEventListener('keydown', (event) => { if (event.key === 'Escape') open(false); });
  element('latest').addEventListener('click', () => { toEnd(); element('line').focus(); });
  element('scroll').addEventListener('scroll', () => { if (isAtEnd()) show('latest', false); });
  document.addEventListener('visibilitychange', () => { if (!document.hidden) count(0); });
  // What is at the end stays there when a keyboard takes room.
  let sawEnd = true;
  element('scroll').addEventListener('scroll', () => { sawEnd = isAtEnd(); });
  new ResizeObserver(() => { if (sawEnd) toEnd(); }).observe(element('scroll'));
  element('copy').addEventListener('click', copy);
  if (navigator.share) {
    show('hand-on', true);
    element('hand-on').addEventListener('click', () => navigator.share({ title: 'liferaft chat', url: element('link').href }).catch(() => {}));
  }
}

async function copy() {
  const link = element('link');
  try {
    await navigator.clipboard.writeText(link.textContent);
    element('copy').textContent = 'Copied';
  } catch {
    // Pages that came over plain HTTP may not: people copy what is selected.
    getSelection().selectAllChildren(link);
    element('copy').textContent = 'Selected: copy it';
  }
  setTimeout(() => { element('copy').textContent = 'Copy link'; }, 2_000);
}
