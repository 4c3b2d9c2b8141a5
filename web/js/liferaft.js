// Members of a cluster, as pages see them. What each call promises is in `liferaft.d.ts`.
import { LiferaftError, fault, invalid, taken, unsupported } from './errors.js';
import { Value, answer, ask, bytes, keys, read, text, whole, write } from './keys.js';
import { follow } from './lifecycle.js';
import { Guarded } from './machine.js';
import { Outbox } from './outbox.js';
import { Qr } from './qr.js';
import { aborted, exported, settled, socketMaker, warnings } from './wasm.js';

export { Outbox };

// Nobody else makes members.
const KEY = Symbol('a member that runs');
// More is none of what the module has 32 bits for.
const U32_MAX = 2 ** 32 - 1;
const STORAGES = ['auto', 'indexeddb', 'memory'];

export class Liferaft extends EventTarget {
  #raw;
  #facts;
  #status;
  #page;
  #machine;
  #warnings = [];
  #lifecycle = new AbortController();
  // Why it was stopped, if its page did not want that.
  #why;
  // How many calls are to end it: its storage, which is closed then, is not lost.
  #endings = 0;
  // Those of when it stopped.
  #members = [];
  #hasStopped;

  constructor(key, raw, page, machine) {
    super();
    if (key !== KEY) throw new TypeError('a member is made by Liferaft.join, found or resume');
    this.#raw = raw;
    this.#facts = raw.facts();
    this.#page = page;
    this.#status = raw.status();
    const { why, damaged } = this.#facts.storage;
    if (why) this.#warnings.push(`What this member knows is lost with its page: ${why}`);
    this.#warnings.push(...damaged.map(({ id, message }) => `What this browser has stored of ${id} is not used: ${message}`));
    follow({
      away: () => this.#raw?.handOver(),
      back: () => this.#wake().catch((error) => this.#stop(error)).catch(() => {}),
      signal: this.#lifecycle.signal,
    });
    this.#hasStopped = this.#tellStatus();
    // A module that has ended frees nothing.
    Promise.all([this.#hasStopped, this.#tellEvents()]).then(() => raw.free()).catch(() => {});
    this.#machine = machine;
  }

  static join(invitation, options) {
    if (typeof invitation !== 'string') return Promise.reject(invalid('an invitation is a text'));
    return start({ invitation }, options);
  }

  static found(options) {
    return start({ found: true }, options);
  }

  static resume(options) {
    if (typeof options?.room !== 'string') return Promise.reject(invalid('a room is named to go on in'));
    return start({ fresh: false }, options);
  }

  static async forget(room, id) {
    return settled(exported().forget(String(room), String(id)));
  }

  get id() { return this.#facts.id; }
  get cluster() { return this.#facts.cluster; }
  get name() { return this.#facts.name; }
  get storage() { return this.#facts.storage; }
  get warnings() { return [...warnings, ...this.#warnings]; }

  get status() { return this.#status; }

  joined(options) {
    return this.#call(options, (raw, timeout) => raw.joined(timeout));
  }

  async get(key, options) {
    return read(await this.#read(options, ask.get, key));
  }

  async entry(key, options) {
    return answer(await this.#read(options, ask.entry, key)).entry;
  }

  async readSequence(key, from, limit, options) {
    return answer(await this.#read(options, ask.sequence, key, from, limit));
  }

  async scan(given, options) {
    return answer(await this.#read(options, ask.scan, given, options));
  }

  set(key, value, options) { return this.#write(options, write.set, key, value); }
  delete(given, options) { return this.#write(options, write.delete, given); }
  compareAndSet(key, expected, value, options) { return this.#write(options, write.compareAndSet, key, expected, value); }
  seqAppend(key, count, value, options) { return this.#write(options, write.seqAppend, key, count, value); }
  append(key, value, options) { return this.#write(options, write.append, key, value); }
  trimBefore(key, count, options) { return this.#write(options, write.trimBefore, key, count); }
  txn(txn, options) { return this.#write(options, write.txn, txn); }
  batch(steps, options) { return this.#write(options, write.batch, steps); }

  watch(given, options) {
    const { from, signal } = options ?? {};
    checked(signal);
    return watch(taken(() => this.#live().watch(keys(given), whole(from, 'from'))), signal);
  }

  async outbox(name = 'default', options) {
    const { commandsMax, bytesMax, onExpiry = 'stop' } = options ?? {};
    if (!['stop', 'continue'].includes(onExpiry)) throw invalid("onExpiry is 'stop' or 'continue'");
    const raw = this.#live();
    const opened = raw.outbox(text(name, 'a name'), whole(commandsMax, 'commandsMax', U32_MAX), whole(bytesMax, 'bytesMax', U32_MAX), onExpiry === 'continue');
    return Outbox.over(await settled(opened));
  }

  members() { return this.#raw ? this.#raw.members() : this.#members; }

  transferLeadership(to, options) {
    return this.#call(options, (raw, timeout) => raw.transfer(to === undefined ? to : text(to, 'an id'), timeout));
  }

  remove(id, options) {
    return this.#call(options, (raw, timeout) => raw.remove(text(id, 'an id'), timeout));
  }

  async invite(options) {
    const { uses, validForMs, page = this.#page } = options ?? {};
    const leads = page === undefined ? page : text(page, 'a page');
    const invitation = await this.#call(options, (raw, timeout) => raw.invite(leads, whole(uses, 'uses', U32_MAX), whole(validForMs, 'validForMs'), timeout));
    return { ...invitation, qr: invitation.qr && new Qr(invitation.qr) };
  }

  get byHand() {
    return {
      offer: () => this.#call({}, (raw) => raw.offer()),
      take: (given) => this.#call({}, (raw) => raw.take(text(given, 'what the other tab gave'))),
    };
  }

  async propose(command, options) {
    const given = bytes(command, 'a command');
    const proposed = this.#call(options, (raw, timeout) => raw.propose(given, timeout));
    return new Value(await proposed.catch((error) => { throw (error.outcome === 'unknown' && this.#machine?.error) || error; }));
  }

  async query(question, options) {
    const given = bytes(question, 'a question');
    return new Value(await this.#call(options, (raw, timeout) => raw.query(given, options?.local === true, timeout)));
  }

  async leave(options) {
    this.#endings += 1;
    try {
      await this.#call(options, (raw, timeout) => raw.leave(timeout));
    } catch (error) {
      this.#endings -= 1;
      throw error;
    }
    await this.#hasStopped;
  }

  async stop() {
    this.#endings += 1;
    await this.#stop();
  }

  [Symbol.asyncDispose ?? Symbol('dispose')]() {
    return this.stop();
  }

  #live() {
    exported();
    if (!this.#raw) throw new LiferaftError('stopped', 'not done: the member has stopped');
    return this.#raw;
  }

  async #call(options, asked) {
    const raw = this.#live();
    const { timeoutMs, signal } = options ?? {};
    if (checked(signal)?.aborted) throw aborted(signal, 'not-done');
    return settled(taken(() => asked(raw, whole(timeoutMs, 'timeoutMs'))), signal);
  }

  async #write(options, of, ...given) {
    const list = taken(() => of(...given));
    return answer(await this.#call(options, (raw, timeout) => raw.write(list, timeout)));
  }

  async #read(options, of, ...given) {
    const list = taken(() => of(...given));
    const { local = false } = options ?? {};
    const age = local === true ? Infinity : whole(local?.maxAgeMs, 'maxAgeMs');
    return this.#call(options, (raw, timeout) => raw.read(list, age, timeout));
  }

  // Its page goes on.
  async #wake() {
    if (!this.#raw || await settled(this.#raw.wake()) || this.#endings > 0) return;
    throw new LiferaftError('storage-lost', 'while this page was frozen, another one may have gone on as this server');
  }

  async #stop(why) {
    this.#why ??= why;
    const raw = this.#raw;
    if (raw) await settled(raw.stop());
    await this.#hasStopped;
  }

  async #tellStatus() {
    const raw = this.#raw;
    let why;
    try {
      for (let next = await settled(raw.nextStatus()); next; next = await settled(raw.nextStatus())) {
        this.#status = next;
        this.dispatchEvent(new CustomEvent('status', { detail: next }));
        const { reason, message, isFinal } = next.exclusion ?? {};
        // It is a member no more.
        if (isFinal) this.#stop(new LiferaftError('excluded', message, 'unknown', { reason })).catch(() => {});
      }
      this.#status = raw.status();
      this.#members = raw.members();
      const stopped = fault(await settled(raw.afterStop()));
      why = this.#why ?? this.#machine?.error ?? stopped;
    } catch (error) {
      // The module has ended.
      why = error;
    }
    this.#raw = undefined;
    this.#lifecycle.abort();
    this.dispatchEvent(new CustomEvent('stopped', { detail: why }));
  }

  async #tellEvents() {
    const raw = this.#raw;
    try {
      for (let next = await settled(raw.nextEvent()); next; next = await settled(raw.nextEvent())) {
        this.dispatchEvent(new CustomEvent('event', { detail: { ...next, at: performance.now() } }));
      }
    } catch {
      // It is told with the status.
    }
  }
}

// Returns a signal if it is one, or none.
function checked(signal) {
  const isNone = signal === undefined || signal === null;
  if (!isNone && typeof signal.addEventListener !== 'function') throw invalid('a signal is an AbortSignal');
  return signal;
}

async function start(how, given = {}) {
  const { start: begin } = exported();
  if (typeof given !== 'object' || given === null) throw invalid('options are an object');
  const { signal, persist } = given;
  if (checked(signal)?.aborted) throw aborted(signal, 'not-done');
  const wanted = taken(() => options(given));
  const beginning = begin({ ...wanted, ...how });
  if (persist) globalThis.navigator?.storage?.persist?.().catch(() => {});
  try {
    const raw = await settled(beginning, signal);
    return raw && new Liferaft(KEY, raw, pageOf(given), wanted.machine);
  } catch (error) {
    // Whoever does not want it any more leaves no member behind.
    if (error.code === 'aborted') beginning.then((raw) => raw?.stop(), () => {});
    throw error;
  }
}

function options(given) {
  const hasWebRtc = typeof RTCPeerConnection === 'function';
  const { storage = 'auto', membership = {}, signaling = [], iceServers, machine } = given;
  if (!STORAGES.includes(storage)) throw invalid(`storage is one of ${STORAGES.join(', ')}`);
  if (!hasWebRtc && [signaling].flat().length > 0) throw unsupported('members in rooms of signaling servers need WebRTC, which this host does not have');
  const { evictAfterMs, votersMin, voters } = membership;
  return {
    room: given.room,
    name: given.name,
    signaling: [signaling].flat(),
    addresses: given.addresses ?? [],
    iceServers: iceServers && (async () => (typeof iceServers === 'function' ? await iceServers() : iceServers)
      .map(({ urls, username, credential }) => ({ urls: [urls].flat(), username, credential }))),
    relayOnly: given.relayOnly,
    storage,
    fresh: given.fresh,
    electionTimeoutMs: whole(given.electionTimeoutMs, 'electionTimeoutMs'),
    laboratory: membership === 'laboratory',
    evictAfterMs: whole(evictAfterMs, 'evictAfterMs'),
    votersMin: whole(votersMin, 'votersMin'),
    voters: whole(voters, 'voters'),
    timeoutMs: whole(given.timeoutMs, 'timeoutMs'),
    machine: machine && new Guarded(machine),
    makeSocket: socketMaker(),
    hasWebRtc,
  };
}

// Where links of invitations lead.
function pageOf({ page }) {
  if (page !== undefined) return page;
  const here = globalThis.location?.href;
  return here?.startsWith('http') ? here.split('#')[0] : undefined;
}

function watch(raw, signal) {
  let isOver = false;
  const end = () => {
    if (isOver) return;
    isOver = true;
    signal?.removeEventListener('abort', end);
    try {
      raw.end();
      raw.free();
    } catch {
      // A module that has ended frees nothing.
    }
  };
  signal?.addEventListener('abort', end);
  if (signal?.aborted) end();
  const OVER = { done: true, value: undefined };
  return {
    async next() {
      if (isOver) return OVER;
      try {
        const next = await settled(raw.next());
        if (!isOver && next) return { done: false, value: answer(next) };
      } catch (error) {
        end();
        throw error;
      }
      end();
      return OVER;
    },
    async return() {
      end();
      return OVER;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
