// A chat whose tabs are the members of a cluster: founds or joins one as the address of the page says.
//
//   ?channel=N#firstServer   claims the room N of the signaling server and founds, if nobody has
//   ?channel=N#INVITATION    joins, or goes on as the member that this browser has stored
//   ?channel=N               goes on, if this browser has stored a member of the room
//
// In the query, besides: `server=URL` names the signaling server, else it is the one that the page is from; `ice=FILE`
// names a list of servers of STUN and TURN, as browsers take them, and `relay` lets others reach the tab through those
// alone; `et=MS` is the election timeout; `paused` waits for the button or `startChat()`; `laboratory` evicts within an
// election timeout.
import { Liferaft, init } from './index.js';
import { SEQUENCE, parsed, plain, written } from './lines.js';
import { append, drop, element, invited, note, outgoing, show, standing, tell, toEnd, wire } from './view.js';

// So many lines are read at a time.
const PART = 256;
// Whatever failed for a reason that may pass is tried again after this time.
const AGAIN_MS = 500;
// How often it is looked at whether the token of the link is good still.
const INVITED_ANEW_MS = 60_000;
const NAME = 'liferaft/name';
const REDUCED = 'This page came over plain HTTP, where browsers let no page keep anything safely: this tab forgets its place when it is closed or '
  + 'loaded again, and comes back as a new member. Over HTTPS, or on localhost, it keeps its place.';
const EXCLUSIONS = {
  removed: 'Somebody has removed you from this room.',
  forgotten: 'You were away for so long that this room has let you go.',
  token: 'This link is not good any more: ask for another one.',
};
// Who is told so takes part again as another member alone.
const ANEW = ['removed', 'forgotten', 'old-boot', 'another-history'];
const ELECTION_TIMEOUT_MIN_MS = 50;
const ELECTION_TIMEOUT_MAX_MS = 60_000;
// An election takes less by default: people are told that nobody leads after this time.
const UNLED_MS = 3_000;
const ANIMALS = ['Badger', 'Beaver', 'Crane', 'Dolphin', 'Falcon', 'Gannet', 'Heron', 'Ibex', 'Jackdaw', 'Kestrel', 'Lynx', 'Marten',
  'Narwhal', 'Osprey', 'Otter', 'Puffin', 'Raven', 'Seal', 'Tern', 'Walrus', 'Whale', 'Wren'];

const query = new URLSearchParams(location.search);
// A page that came over plain HTTP has no locks, no hidden keys and no clipboard.
const isReduced = !isSecureContext;
const later = (milliseconds) => new Promise((over) => setTimeout(over, milliseconds));
const now = () => performance.timeOrigin + performance.now();
const announce = (type, detail) => document.dispatchEvent(new CustomEvent(`liferaft:${type}`, { detail: { ...detail, at: now() } }));
const become = (state) => { document.body.dataset.state = state; };

// ---------------------------------------------------------------------------------------------------------------------
// What the address says

function signalingServer() {
  const server = new URL(query.get('server') ?? location.origin, location);
  if (!/^https?:$/.test(server.protocol)) throw new Error(`The signaling server of this address is none: ${server.protocol} is no way to reach it.`);
  return server.href.replace(/\/$/, '');
}

function channelOf() {
  const channel = query.get('channel');
  if (channel !== null && !/^[0-9a-z]{20}$/.test(channel)) throw new Error('The room of this address is none: a room has 20 letters and digits.');
  return channel ?? undefined;
}

async function options() {
  const channel = channelOf();
  const et = Number(query.get('et') ?? NaN);
  const isTimeout = et >= ELECTION_TIMEOUT_MIN_MS && et <= ELECTION_TIMEOUT_MAX_MS;
  if (query.has('et') && !isTimeout) note(`et is from ${ELECTION_TIMEOUT_MIN_MS} to ${ELECTION_TIMEOUT_MAX_MS} ms: it is not used`);
  const ice = query.get('ice');
  return {
    room: channel,
    name: element('name').value,
    signaling: channel ? `${signalingServer().replace(/^http/, 'ws')}/${channel}` : [],
    iceServers: ice ? await (await fetch(new URL(ice, location))).json() : undefined,
    relayOnly: query.has('relay'),
    electionTimeoutMs: isTimeout ? Math.trunc(et) : undefined,
    membership: query.has('laboratory') ? 'laboratory' : undefined,
    storage: isReduced ? 'memory' : 'auto',
  };
}

// Where a room is opened: at the signaling server, or where the page is from if the address names none.
function newRoom() {
  try {
    return `${signalingServer()}/new`;
  } catch {
    return new URL('new', location.origin).href;
  }
}

// Asks the server whether this visit founds.
async function claim() {
  const channel = channelOf();
  if (!channel) throw new Error('This address names no room.');
  const nonce = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const answer = await fetch(`${signalingServer()}/${channel}/founder?claim=${nonce}`, { method: 'POST' }).catch(() => undefined);
  const said = answer && await answer.json().catch(() => undefined);
  if (typeof said?.founder === 'boolean') return said.founder;
  throw new Error(query.has('server')
    ? 'The signaling server does not answer this page. Does it run, and does it let in pages from here (--allow-origin)?'
    : 'The server of this page does not answer: it may be gone, or too busy. Load the page again later.');
}

// Returns the member that this page is to be; `undefined` if it takes a link to be any.
async function enter() {
  const fragment = location.hash.slice(1);
  const given = await options();
  const resumed = async () => (given.room && !isReduced ? Liferaft.resume(given) : undefined);
  if (fragment === 'firstServer') return await claim() ? Liferaft.found(given) : resumed();
  return fragment ? Liferaft.join(fragment, given) : resumed();
}

// ---------------------------------------------------------------------------------------------------------------------
// One member

class Chat {
  #node;
  #outbox;
  // Texts that were written here and of which nobody knows whether they were sent.
  #unknown;
  // The place behind the last line that is shown, and in which of the sequences that there were.
  #shownTo = 0;
  #incarnation;
  // The place behind what was said before this tab was in the room.
  #newsFrom = Infinity;
  #invitedFor;
  #isInviting = false;
  // Runs while nobody leads, which is told when it is over.
  #unled;
  #isUnled = false;
  // Why the last line was not taken, if it was not.
  #refusal = '';

  // `left` is what the member that this tab was before has not said.
  constructor(node, left) {
    this.#node = node;
    this.#unknown = left;
    document.body.dataset.id = node.id;
    node.addEventListener('status', () => this.#onStatus());
    node.addEventListener('event', ({ detail }) => note(`term ${detail.term}: ${detail.message}`));
    node.addEventListener('stopped', ({ detail }) => this.#onStopped(detail));
  }

  async run() {
    become('waiting');
    const { storage } = this.#node;
    if (storage.kind === 'memory' && !isReduced) forgetful(`This tab forgets its place when it is closed or loaded again: ${storage.why ?? 'it is kept in memory'}.`);
    if (storage.taken === 'new-after-loss') forgetful('The browser has removed what it had stored of this room: this tab is a new member.');
    this.#onStatus();
    this.#follow();
    this.#outbox = await this.#node.outbox('chat', { onExpiry: 'continue' });
    // What was written before a reload.
    for (const { number, value } of this.#outbox.pending()) this.#watchOver(this.#outbox.ticket(number), value?.text ?? '');
    this.#outbox.addEventListener('change', () => this.#showOutgoing());
    this.#showOutgoing();
    for (const id of ['line', 'send']) element(id).disabled = false;
    element('line').focus({ preventScroll: true });
    await this.#joined();
  }

  async #joined() {
    while (document.body.dataset.state === 'waiting') {
      try {
        await this.#node.joined();
        this.#newsFrom = (await this.#node.readSequence(SEQUENCE, 0, 1)).count.length;
        become('joined');
        for (const warning of this.#node.warnings) note(warning);
        this.#onStatus();
      } catch (error) {
        if (error.code === 'stopped') return;
        await later(AGAIN_MS);
      }
    }
  }

  // Says a line. Returns false if it is not taken: the page tells why until one is.
  say(text) {
    try {
      const line = written({ id: this.#node.id, name: plain(element('name').value), text, at: Date.now() });
      this.#watchOver(this.#outbox.append(SEQUENCE, line), line);
      this.#refusal = '';
    } catch (error) {
      this.#refusal = `This is not sent: ${error.message}.`;
    }
    this.#tellWhy();
    this.#showOutgoing();
    toEnd();
    return this.#refusal === '';
  }

  // The id of this member if the room has removed it.
  removed() {
    return this.#node.status?.exclusion?.reason === 'removed' ? this.#node.id : undefined;
  }

  // Ends the member, and returns what it has not said.
  async leave() {
    const left = this.#written().map(({ text, state }) => ({ text, state: state === 'waiting' ? 'lost' : 'given-up' }));
    await this.#node.stop().catch(() => {});
    return left;
  }

  #watchOver(ticket, line) {
    ticket?.done.catch((error) => {
      note(`a message: ${error.message}`);
      // What a page that ended has not sent is in its outbox still.
      if (error.code === 'stopped') return;
      this.#unknown.push({ text: parsed(line).text, state: error.outcome === 'not-done' ? 'lost' : 'given-up' });
      this.#showOutgoing();
    });
  }

  #written() {
    const pending = this.#outbox?.pending() ?? [];
    return [...this.#unknown, ...pending.filter(({ state }) => state !== 'given-up').map(({ state, value }) => ({ text: parsed(value?.text ?? '').text, state }))];
  }

  #showOutgoing() {
    // An outbox that has ended tells nothing any more: what is shown stays.
    try {
      outgoing(this.#written());
    } catch {}
  }

  // Shows the history from its beginning, and what is added from then on.
  async #follow() {
    while (document.body.dataset.state !== 'stopped') {
      try {
        const from = await this.#read();
        for await (const event of this.#node.watch(SEQUENCE, { from })) {
          if (event.type === 'changes' && !this.#take(event.changes)) break;
        }
      } catch (error) {
        if (error.code === 'stopped' || error.code === 'internal') return;
        note(`the history: ${error.message}`);
        await later(AGAIN_MS);
      }
    }
  }

  // Reads what is there, and returns the revision behind it.
  async #read() {
    element('scroll').setAttribute('aria-busy', 'true');
    try {
      for (;;) {
        const part = await this.#node.readSequence(SEQUENCE, this.#shownTo, PART, { local: true });
        if (this.#shownTo > 0 && part.count.incarnation !== this.#incarnation) {
          this.#forget();
          continue;
        }
        this.#incarnation = part.count.incarnation;
        drop(part.first === this.#shownTo ? -1 : part.first);
        this.#append(part.values, part.first);
        if (part.values.length === 0 || this.#shownTo >= part.count.length) return part.revision + 1;
      }
    } finally {
      element('scroll').removeAttribute('aria-busy');
    }
  }

  // Shows changes; returns false if the sequence is to be read anew.
  #take(changes) {
    const unshown = [];
    const flush = () => this.#append(unshown.splice(0), this.#shownTo);
    for (const change of changes) {
      if (change.type === 'appended') {
        const place = change.count.length - 1;
        const next = this.#shownTo + unshown.length;
        if (place > next) return false;
        if (place === next) unshown.push(change.value);
        this.#incarnation = change.count.incarnation;
      } else if (change.type === 'trimmed') {
        flush();
        drop(change.first);
      } else {
        unshown.length = 0;
        this.#forget();
      }
    }
    flush();
    return true;
  }

  // The sequence is gone, or another one is in its place.
  #forget() {
    drop();
    this.#shownTo = 0;
    this.#newsFrom = 0;
  }

  #append(values, first) {
    if (values.length === 0) return;
    const lines = values.map((value, index) => ({ place: first + index, ...parsed(value.text) }));
    append(lines, this.#node.id, this.#newsFrom);
    this.#shownTo = first + values.length;
    for (const { place, text } of lines) announce('line', { place, text });
  }

  #onStatus() {
    const { status } = this.#node;
    if (document.body.dataset.state === 'stopped') return;
    standing(status, this.#node.members(), this.#node.storage);
    announce('status', { status });
    const { exclusion } = status;
    document.body.classList.toggle('excluded', Boolean(exclusion));
    if (status.leader) {
      clearTimeout(this.#unled);
      [this.#unled, this.#isUnled] = [undefined, false];
    } else {
      this.#unled ??= setTimeout(() => { this.#isUnled = true; this.#tellWhy(); }, UNLED_MS);
    }
    this.#tellWhy();
    show('again', ANEW.includes(exclusion?.reason));
    show('door', exclusion?.reason === 'token');
    // A link has the addresses of members that are there, and a token that expires.
    const facts = [...status.voters, ...status.learners].sort().join() + Math.floor(now() / INVITED_ANEW_MS);
    if (document.body.dataset.state === 'joined' && status.leader && facts !== this.#invitedFor) this.#invite(facts);
  }

  // Tells what keeps people from chatting, as long as it does.
  #tellWhy() {
    const { exclusion, links, isStorageLow } = this.#node.status;
    const { state } = document.body.dataset;
    if (state === 'stopped') return;
    const isMember = this.#node.members().some(({ isSelf }) => isSelf);
    const isAlone = this.#isUnled && links.length === 0;
    show('alone', isAlone && !exclusion);
    if (exclusion) tell(EXCLUSIONS[exclusion.reason] ?? `It takes no part: ${exclusion.message}.`);
    else if (isAlone) tell('Nobody else of this room is reached. What you write is sent when others are back.');
    else if (this.#isUnled && isMember) tell('Too few of this room are here. What you write is sent when more are back.');
    else if (this.#refusal) tell(this.#refusal);
    else if (state === 'waiting') tell('It waits for the others.');
    else tell(isStorageLow ? 'This browser has little room left to store what is said.' : '');
  }

  // The invitation stays in the page's own address, so that the tab finds its cluster again when it is loaded anew.
  async #invite(facts) {
    if (this.#isInviting) return;
    this.#isInviting = true;
    try {
      const invitation = await this.#node.invite();
      invited(invitation);
      if (invitation.link) history.replaceState(null, '', invitation.link);
      this.#invitedFor = facts;
    } catch (error) {
      note(`the link: ${error.message}`);
      await later(AGAIN_MS);
    } finally {
      this.#isInviting = false;
    }
  }

  #onStopped(why) {
    become('stopped');
    clearTimeout(this.#unled);
    for (const id of ['line', 'send']) element(id).disabled = true;
    for (const id of ['invite', 'alone']) show(id, false);
    if (why.code === 'excluded') tell(EXCLUSIONS[why.details.reason]);
    else tell(`It has stopped: ${why.message}. Load the page again to go on.`);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// The page

let chat;
let isStarting = false;

// One member at a time.
async function run(entering) {
  if (isStarting) return undefined;
  isStarting = true;
  return enterAs(entering).finally(() => { isStarting = false; });
}

async function enterAs(entering) {
  for (const id of ['door', 'again', 'alone', 'reduced']) show(id, false);
  // The words of the member that this tab was stay to read.
  const left = await chat?.leave() ?? [];
  chat = undefined;
  become('starting');
  tell('It starts.');
  if (isReduced) forgetful(REDUCED);
  let node;
  try {
    await init();
    node = await entering();
  } catch (error) {
    return ask(error.message);
  }
  if (!node) return ask('This browser has no place in this room: ask somebody who is in it for the link.');
  chat = new Chat(node, left);
  drop();
  chat.run().catch((error) => tell(error.message));
  return undefined;
}

// Has people give a link.
function ask(why) {
  become('stopped');
  tell(why);
  show('door', true);
  element('invitation').focus({ preventScroll: true });
}

// A link has its own room and its own server, so that it is opened; a bare invitation is taken here.
function join(text) {
  const link = URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) ? new URL(text) : undefined;
  if (link && link.origin === location.origin && link.pathname === location.pathname && link.search !== location.search) {
    location.assign(link);
    return undefined;
  }
  return run(async () => Liferaft.join(text, await options()));
}

// The member that this tab was is one no more. Once it was removed no other tab has use for what it stored.
function rejoin() {
  const removed = chat?.removed();
  return run(async () => {
    const given = await options();
    if (removed && given.room && !isReduced) await Liferaft.forget(given.room, removed);
    return Liferaft.join(location.hash.slice(1), { ...given, fresh: true });
  });
}

// Says that this tab keeps nothing, or has kept nothing.
function forgetful(why) {
  element('reduced').textContent = why;
  show('reduced', true);
}

// The name that this tab had, or that people have chosen in another one, or any.
function knownName() {
  try {
    const known = plain(sessionStorage.getItem(NAME)) ?? plain(localStorage.getItem(NAME));
    if (known) return known;
    const drawn = ANIMALS[crypto.getRandomValues(new Uint32Array(1))[0] % ANIMALS.length];
    sessionStorage.setItem(NAME, drawn);
    return drawn;
  } catch {
    // Without storage nothing is known after a reload.
    return ANIMALS[0];
  }
}

function keepName(name) {
  try {
    sessionStorage.setItem(NAME, name);
    localStorage.setItem(NAME, name);
  } catch {
    // It is asked for again.
  }
}

async function begin() {
  show('beginning', false);
  await run(enter);
}

wire();
for (const link of document.querySelectorAll('.new-room')) link.href = newRoom();
element('name').value = knownName();
element('name').addEventListener('change', () => {
  const name = plain(element('name').value);
  if (name) keepName(name);
});
// Enter ends the name, and sends no line.
element('name').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.isComposing) return;
  event.preventDefault();
  element('line').focus();
});
element('say').addEventListener('submit', (event) => {
  event.preventDefault();
  const { value } = element('line');
  if (chat && value.trim() !== '' && chat.say(value)) element('line').value = '';
});
element('join').addEventListener('submit', (event) => {
  event.preventDefault();
  join(element('invitation').value.trim());
});
element('rejoin').addEventListener('click', () => rejoin());
// The address is another one by hand: a link that was pasted into it, say.
addEventListener('hashchange', () => location.reload());
if (isReduced) forgetful(REDUCED);
globalThis.startChat = begin;
element('start').addEventListener('click', () => begin());
if (query.has('paused')) {
  become('paused');
  tell('');
  show('beginning', true);
} else {
  begin();
}
