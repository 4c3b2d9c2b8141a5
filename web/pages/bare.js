// A member in a tab: founds or joins a cluster as the address of the page says, shows where it stands, and chats.
//
//   ?channel=N#firstServer   claims the room N of the signaling server and founds, if nobody has
//   #found                   founds a cluster without a room
//   #INVITATION              joins
//
// `server=URL` in the query names the signaling server; else it is the one that the page is from. `ice=FILE` names a list of
// servers of STUN and TURN, as browsers take them, and `relay` lets others reach the tab through those alone. Whatever others
// have written gets into the page by textContent alone.
import { alarmBy } from './alarm.js';
import { follow } from './lifecycle.js';
import init, { Member, Network, rung, setAlarm } from './liferaft_web.js';

const REFRESH_MS = 250;
const element = (id) => document.getElementById(id);
const tell = (text) => { element('story').textContent = text; };

let alarm;
let member;
let read = 0n;
let shared;

function list(id, items) {
  element(id).replaceChildren(...items.map((text) => {
    const item = document.createElement('li');
    item.textContent = text;
    return item;
  }));
}

async function refresh() {
  const status = member.status();
  for (const id of ['id', 'role', 'term', 'leader']) element(id).textContent = String(status[id] ?? 'nobody');
  for (const id of ['voters', 'learners', 'links']) list(id, status[id]);
  element('timers').textContent = alarm.keeper();
  if (status.exclusion) tell(`It takes no part: ${status.exclusion}.`);
  const members = [...status.voters, ...status.learners].join();
  status.free();
  for (const line of await member.lines(read)) {
    const item = document.createElement('li');
    item.textContent = line;
    element('lines').append(item);
    read += 1n;
  }
  // The link has the addresses of members that are there.
  if (members && members !== shared) {
    await share();
    shared = members;
  }
}

// The invitation stays in the page's own address, so that the tab finds its cluster again when it is loaded anew.
async function share() {
  const link = new URL(location);
  link.hash = (await member.invite()).replace(/^liferaft:/, '');
  element('share').textContent = link.href;
  history.replaceState(null, '', link);
}

async function run(started) {
  member = await started;
  element('key').textContent = member.isKeyHidden ? 'browser' : 'memory';
  follow({ away: () => member.handOver(), back: () => member.wake() });
  element('join').hidden = true;
  tell('It runs.');
  for (;;) {
    await refresh().catch((error) => tell(String(error)));
    await new Promise((later) => setTimeout(later, REFRESH_MS));
  }
}

const query = new URLSearchParams(location.search);
const channel = query.get('channel');
const server = query.get('server') ?? location.origin;
const room = channel ? `${server.replace(/^http/, 'ws')}/${channel}` : undefined;

let iceServers = [];

async function learnIceServers() {
  const file = query.get('ice');
  if (file) iceServers = await (await fetch(new URL(file, location))).json();
}

// A member takes it for itself.
function network() {
  const made = new Network(room);
  for (const { urls, username, credential } of iceServers) made.addIceServer([urls].flat(), username, credential);
  if (query.has('relay')) made.relayOnly();
  return made;
}

async function claim() {
  const nonce = crypto.randomUUID();
  const answer = await fetch(new URL(`/${channel}/founder?claim=${nonce}`, server), { method: 'POST' }).catch(() => undefined);
  const said = answer && await answer.json().catch(() => undefined);
  if (typeof said?.founder === 'boolean') return said.founder;
  throw new Error(query.has('server')
    ? `The signaling server at ${server} does not answer this page: check that it runs, and lets in pages from here (--allow-origin ${location.origin}).`
    : 'The server that this page is from is no signaling server: name one in the address of the page, as ?channel=N&server=http://127.0.0.1:9000#firstServer.');
}

async function begin() {
  await Promise.all([init(), learnIceServers()]);
  alarm = alarmBy(new URL('./worker.js', import.meta.url), rung);
  setAlarm(alarm.set);
  const fragment = location.hash.slice(1);
  if (fragment === 'firstServer') {
    if (!channel) throw new Error('The address of the page names no room to found in: ?channel=N&server=URL#firstServer.');
    if (await claim()) return run(Member.found(network()));
    tell('Another tab has founded this room: ask it for its link.');
  } else if (fragment === 'found') {
    return run(Member.found(network()));
  } else if (fragment) {
    return run(Member.join(fragment, network()));
  } else {
    tell('Paste an invitation.');
  }
  element('join').hidden = false;
}

element('join').addEventListener('submit', (event) => {
  event.preventDefault();
  // Nobody joins twice.
  element('join').hidden = true;
  run(Member.join(element('invitation').value, network())).catch((error) => {
    element('join').hidden = false;
    tell(String(error));
  });
});
element('offer').addEventListener('click', () => {
  member?.offer()
    .then((offer) => { element('given').value = offer; tell('Give the offer to the other tab. It is good for ten minutes.'); })
    .catch((error) => tell(String(error)));
});
element('hand').addEventListener('submit', (event) => {
  event.preventDefault();
  member?.take(element('pasted').value)
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
  member?.say(line).catch((error) => tell(String(error)));
});
begin().catch((error) => tell(String(error)));
