// A member in a tab: founds or joins a cluster as the address of the page says, shows where it stands, and chats.
//
//   ?channel=N#firstServer   claims the room N of the signaling server and founds, if nobody has
//   #found                   founds a cluster without a room
//   #INVITATION              joins
//
// `server=URL` in the query names the signaling server; else it is the one that the page is from. `ice=FILE` names a
// list of servers of STUN and TURN, as browsers take them, and `relay` lets others reach the tab through those alone.
// Whatever others have written gets into the page by textContent alone.
import { Liferaft, init } from './index.js';
import { timekeeper } from './wasm.js';

const CHAT = 'chat';
const LINES_MAX = 256;
const element = (id) => document.getElementById(id);
const tell = (text) => { element('story').textContent = text; };

let member;
let shared;

function list(id, items) {
  element(id).replaceChildren(...items.map((text) => {
    const item = document.createElement('li');
    item.textContent = text;
    return item;
  }));
}

function show(status) {
  for (const id of ['role', 'term', 'leader']) element(id).textContent = String(status[id] ?? 'nobody');
  for (const id of ['voters', 'learners']) list(id, status[id]);
  list('links', status.links.map(({ peer, path }) => (path ? `${peer} by ${path}` : peer)));
  element('timers').textContent = timekeeper();
  if (status.exclusion) tell(`It takes no part: ${status.exclusion.message}.`);
  // The link has the addresses of members that are there.
  const members = [...status.voters, ...status.learners].join();
  if (members && members !== shared) {
    shared = members;
    share().catch((error) => { shared = undefined; tell(String(error)); });
  }
}

// The invitation stays in the page's own address, so that the tab finds its cluster again when it is loaded anew.
async function share() {
  const { link } = await member.invite({ page: location.href.split('#')[0] });
  element('share').textContent = link;
  history.replaceState(null, '', link);
}

function add(lines) {
  element('lines').append(...lines.map((line) => {
    const item = document.createElement('li');
    item.textContent = line.text;
    return item;
  }));
}

async function follow() {
  let [from, revision] = [0, 0];
  for (;;) {
    const part = await member.readSequence(CHAT, from, LINES_MAX, { local: true });
    add(part.values);
    [from, revision] = [from + part.values.length, part.revision];
    if (part.values.length < LINES_MAX) break;
  }
  for await (const event of member.watch(CHAT, { from: revision + 1 })) {
    if (event.type === 'changes') add(event.changes.filter(({ type }) => type === 'appended').map(({ value }) => value));
  }
}

async function run(started) {
  member = await started;
  element('id').textContent = member.id;
  element('key').textContent = member.storage.isKeyHidden ? 'browser' : 'memory';
  element('join').hidden = true;
  tell('It runs.');
  member.addEventListener('status', ({ detail }) => show(detail));
  show(member.status);
  await follow();
}

const query = new URLSearchParams(location.search);
const channel = query.get('channel');
const server = query.get('server') ?? location.origin;
let iceServers = [];

async function learnIceServers() {
  const file = query.get('ice');
  if (file) iceServers = await (await fetch(new URL(file, location))).json();
}

const options = () => ({
  signaling: channel ? [`${server.replace(/^http/, 'ws')}/${channel}`] : [],
  iceServers,
  relayOnly: query.has('relay'),
  storage: 'memory',
});

async function claim() {
  const nonce = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  const answer = await fetch(new URL(`/${channel}/founder?claim=${nonce}`, server), { method: 'POST' }).catch(() => undefined);
  const said = answer && await answer.json().catch(() => undefined);
  if (typeof said?.founder === 'boolean') return said.founder;
  throw new Error(query.has('server')
    ? `The signaling server at ${server} does not answer this page: check that it runs, and lets in pages from here (--allow-origin ${location.origin}).`
    : 'The server that this page is from is no signaling server: name one in the address of the page, as ?channel=N&server=http://127.0.0.1:9000#firstServer.');
}

async function begin() {
  await Promise.all([init(), learnIceServers()]);
  const fragment = location.hash.slice(1);
  if (fragment === 'firstServer') {
    if (!channel) throw new Error('The address of the page names no room to found in: ?channel=N&server=URL#firstServer.');
    if (await claim()) return run(Liferaft.found(options()));
    tell('Another tab has founded this room: ask it for its link.');
  } else if (fragment === 'found') {
    return run(Liferaft.found(options()));
  } else if (fragment) {
    return run(Liferaft.join(fragment, options()));
  } else {
    tell('Paste an invitation.');
  }
  element('join').hidden = false;
}

element('join').addEventListener('submit', (event) => {
  event.preventDefault();
  // Nobody joins twice.
  element('join').hidden = true;
  run(Liferaft.join(element('invitation').value, options())).catch((error) => {
    element('join').hidden = false;
    tell(String(error));
  });
});
element('offer').addEventListener('click', () => {
  member?.byHand.offer()
    .then((offer) => { element('given').value = offer; tell('Give the offer to the other tab. It is good for ten minutes.'); })
    .catch((error) => tell(String(error)));
});
element('hand').addEventListener('submit', (event) => {
  event.preventDefault();
  member?.byHand.take(element('pasted').value)
    .then((answer) => {
      element('pasted').value = '';
      element('given').value = answer ?? '';
      tell(answer ? 'Give the answer to the other tab.' : 'It connects.');
    })
    .catch((error) => tell(String(error)));
});
element('say').addEventListener('submit', (event) => {
  event.preventDefault();
  const line = element('line').value;
  element('line').value = '';
  member?.append(CHAT, line).catch((error) => tell(String(error)));
});
begin().catch((error) => tell(String(error)));
