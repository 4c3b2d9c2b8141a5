/// <reference lib="esnext.disposable" />
/**
 * Members of a liferaft cluster in JavaScript: in browser tabs, and in Node.
 *
 * Times are milliseconds. Numbers are whole and at most `Number.MAX_SAFE_INTEGER`. Ids of servers and clusters are
 * texts such as `0x9f3c21ab…`, with up to 32 digits. Every promise that is rejected is rejected with a
 * {@link LiferaftError}.
 */

/** What a key or a value is given as. A string stands for its UTF-8. */
export type Bytes = Uint8Array | string;

/** Bytes as they are stored. */
export interface Value {
  readonly bytes: Uint8Array;
  /** The bytes as UTF-8, decoded when it is asked for; what is none becomes U+FFFD. */
  readonly text: string;
}

/** Which keys: one, all that begin with a prefix, or a range that begins with `from` and ends before `to`. */
export type Keys = Bytes | { readonly prefix: Bytes } | { readonly from: Bytes; readonly to?: Bytes };

/**
 * How many values a sequence has had, `length`, and in which of the sequences that there were under its key. The empty
 * one is that of a key that does not exist, and may be written as `0`.
 */
export interface Count {
  readonly length: number;
  readonly incarnation: number;
}

// ---------------------------------------------------------------------------------------------------------------------
// Loading

export interface InitOptions {
  /** The module: its address, its bytes, a response with it, or what `WebAssembly.compile` returns. By default the file
   * beside this one. */
  wasm?: string | URL | BufferSource | Response | WebAssembly.Module;
  /** The worker that keeps time while the page is hidden: its address, a worker, or `false` for none. */
  worker?: string | URL | Worker | false;
  /** The WebSocket of hosts that have none of their own. */
  WebSocket?: new (address: string) => unknown;
}

/** Loads the module. Once is enough: later calls return the first one's promise. */
export function init(options?: InitOptions): Promise<void>;

/** The version of this package. */
export const version: string;

// ---------------------------------------------------------------------------------------------------------------------
// Errors

export type ErrorCode =
  /** `signal` was aborted. What was sent may be done. */
  | 'aborted'
  /** The deadline passed. */
  | 'timeout'
  /** The session under which it was sent has ended: it is not sent again. */
  | 'expired'
  /** Too much waits already. */
  | 'busy'
  /** The cluster says no: a key of the other kind, a full store, a membership change that cannot be made. */
  | 'refused'
  /** A key, a value, a command or an answer is too long. */
  | 'too-large'
  /** Nobody who could do it was reached. */
  | 'unreachable'
  /** This member takes no part in the cluster: `details.reason` says why. */
  | 'excluded'
  /** The disk of the leader is full. */
  | 'no-room'
  /** The member has stopped. */
  | 'stopped'
  /** It is the only voter: without it the cluster would be lost or stand still. */
  | 'only-voter'
  /** The history does not reach back to the revision: read the keys anew. */
  | 'compacted'
  /** An argument is none that the function takes. */
  | 'invalid-argument'
  /** There is no invitation in the text, or a damaged one. */
  | 'invalid-invitation'
  /** The storage cannot be opened, read or written. */
  | 'storage'
  /** The storage has no room. */
  | 'storage-full'
  /** The browser has removed what was stored. */
  | 'storage-lost'
  /** This host, or a member of this kind, does not have it: WebRTC in Node, keys of a member with a machine. */
  | 'unsupported'
  /** The state machine threw, or does not understand what the cluster holds. */
  | 'machine'
  /** The module is of another version than this script. */
  | 'version'
  /** A bug, or no memory is left: no member of this page does anything any more. Whoever loads the page anew goes on with
   * what was stored. */
  | 'internal';

/**
 * Why something was not done, or why nobody knows.
 *
 * `outcome` is `'not-done'` if it certainly had no effect, `'done'` if it had its effect and only its result is lost,
 * and `'unknown'` otherwise: it may be done, or be done later.
 */
export class LiferaftError extends Error {
  constructor(code: ErrorCode, message: string, outcome?: 'not-done' | 'unknown' | 'done', details?: Record<string, unknown>);
  readonly code: ErrorCode;
  readonly outcome: 'not-done' | 'unknown' | 'done';
  readonly details: Readonly<Record<string, unknown>>;
}

export interface CallOptions {
  /** The deadline, from the call on. By default that of the member's options. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

// ---------------------------------------------------------------------------------------------------------------------
// Members

export interface Options extends CallOptions {
  /** Where this server's state is kept, among those of other tabs: any text. Default `'default'`. */
  room?: string;
  /** What people call this member. */
  name?: string;
  /** In which rooms of signaling servers others find this member: `ws://host:port/room`, or `https://host/?channel=room`. */
  signaling?: string | readonly string[];
  /** Servers of STUN and TURN. The function is asked for each connection. */
  iceServers?: readonly RTCIceServer[] | (() => readonly RTCIceServer[] | Promise<readonly RTCIceServer[]>);
  /** Others reach this member through servers of TURN alone. */
  relayOnly?: boolean;
  /** Further addresses under which others reach this member, such as those of a proxy. */
  addresses?: readonly string[];
  /** `'auto'`, the default, takes IndexedDB where there is one, and goes on in memory where there is none. */
  storage?: 'auto' | 'indexeddb' | 'memory';
  /** Takes no stored server: this tab becomes another one. */
  fresh?: boolean;
  /** The least time without a leader before an election. All members of a cluster should have the same. Default 1,000. */
  electionTimeoutMs?: number;
  /** Who is a voter, and when a silent member is evicted: after `evictAfterMs`, by default 10,000, while more than
   * `votersMin` vote, by default 3. `'laboratory'` evicts within an election timeout, down to two voters, for
   * measurements: a tab that is reloaded may come too late. */
  membership?: { evictAfterMs?: number; votersMin?: number; voters?: number } | 'laboratory';
  /** A state machine of your own, in place of keys and values. All members of a cluster must have the same. */
  machine?: Machine;
  /** Asks the browser to keep what is stored when its disk is full. It may ask people whether it should. */
  persist?: boolean;
  /** The page that links of invitations lead to. By default this page, without its fragment. */
  page?: string;
  /** The default deadline of calls. Default 10,000. */
  timeoutMs?: number;
}

/** Which state of a member is read without asking the leader: as it is, or only if it is at most this old. */
export type Local = boolean | { readonly maxAgeMs: number };

/** A member of a cluster, which runs in this page until it stops or the page is closed. */
export class Liferaft extends EventTarget {
  private constructor();

  /**
   * Joins a cluster. Resolves when the member runs, which needs nobody else; {@link joined} waits until it takes part.
   * If this browser has stored a server of the cluster in the room, which no other tab uses, the member goes on as that
   * one.
   * @param invitation its text, or a link that has it behind `#`
   */
  static join(invitation: string, options?: Options): Promise<Liferaft>;
  /** Founds a closed cluster, of which this is the first member: another one with each call. */
  static found(options?: Options): Promise<Liferaft>;
  /** Goes on as a server of this room that is stored here and that no other tab uses; `undefined` if there is none. */
  static resume(options: Options & { room: string }): Promise<Liferaft | undefined>;
  /** Deletes what this browser has stored of a server of a room, for good: of one that is damaged, or was removed. No page
   * may have it. */
  static forget(room: string, id: string): Promise<void>;

  readonly id: string;
  readonly cluster: string;
  readonly name: string;
  readonly storage: Storage;
  /** What costs precision or safety here: no worker, no IndexedDB, a damaged store, a wrong MIME type. */
  readonly warnings: readonly string[];
  /** A plain object, another one with each `status` event. */
  readonly status: Status;

  /** Waits until the member takes part in its cluster. */
  joined(options?: CallOptions): Promise<'voter' | 'learner'>;

  /** What a key holds. It sees all that was done before it was asked, on any member; with `local` what is known here. */
  get(key: Bytes, options?: CallOptions & { local?: Local }): Promise<Read>;
  /** What a key holds, value or sequence, and since when. */
  entry(key: Bytes, options?: CallOptions & { local?: Local }): Promise<Entry | undefined>;
  set(key: Bytes, value: Bytes, options?: CallOptions): Promise<Done>;
  /** Deletes a key, or many: of these no more than a bounded number, `more` says whether there are others. */
  delete(keys: Keys, options?: CallOptions): Promise<Done & { readonly deleted: number; readonly more: boolean }>;
  /** Replaces a value if it is the expected one. `null` stands for a key that does not exist. */
  compareAndSet(key: Bytes, expected: Bytes | null, value: Bytes | null, options?: CallOptions): Promise<Done & Swapped>;
  /** Appends to a sequence if its count is this one; the count as it is comes back in any case. */
  seqAppend(key: Bytes, count: Count | 0, value: Bytes, options?: CallOptions): Promise<Done & Appended>;
  /** Appends to a sequence, which is made if it does not exist. The first value has place 0. */
  append(key: Bytes, value: Bytes, options?: CallOptions): Promise<Done & { readonly place: number }>;
  /** Drops the values before this count. */
  trimBefore(key: Bytes, count: Count, options?: CallOptions): Promise<Done & Trimmed>;
  /** Reads up to `limit` values from a place on. */
  readSequence(key: Bytes, from: number, limit: number, options?: CallOptions & { local?: Local }): Promise<SequencePart>;
  /** Reads a page of keys in their order; `after` reads on behind the last key of the page before. */
  scan(keys: Keys, options?: CallOptions & ScanOptions & { revision?: number; local?: Local }): Promise<Page & { readonly revision: number; readonly ageMs?: number }>;
  /** Compares and changes several keys in one step, or changes nothing. */
  txn(txn: Txn, options?: CallOptions): Promise<Done & { readonly succeeded: boolean; readonly results: readonly StepResult[] }>;
  /** Does several steps in one entry of the log, each for itself: a step that is refused is the error in its place. */
  batch(steps: readonly Step[], options?: CallOptions): Promise<Done & { readonly results: readonly (StepResult | LiferaftError)[] }>;

  /**
   * Tells exactly the committed changes of keys, in their order: from now on, or from a revision on. An error ends it
   * and has `details.resumeFrom`; so do `return()` and `signal`, without an error.
   */
  watch(keys: Keys, options?: { from?: number; signal?: AbortSignal }): AsyncIterableIterator<WatchEvent>;

  /**
   * Opens an outbox: writes that wait until they are done, in order, exactly once, without a deadline. With stored
   * state it is stored under its name, and goes on after a reload.
   */
  outbox(name?: string, options?: OutboxOptions): Promise<Outbox>;

  members(): readonly Member[];
  /** Has the leader hand over to a voter, or to the best one. Returns who leads then. */
  transferLeadership(to?: string, options?: CallOptions): Promise<string>;
  /** Removes a member for good: it stops, what it had stored is deleted, and it comes back only as another one. */
  remove(id: string, options?: CallOptions): Promise<void>;
  /**
   * Invites others. It is a secret: whoever has it may join. The token by which this member came is used, as long as it
   * has a use left and has not expired, or one that the member makes, for 64 members within seven days, and keeps, also
   * over a reload. `uses` or `validForMs` asks for another one.
   */
  invite(options?: CallOptions & { uses?: number; validForMs?: number; page?: string }): Promise<Invitation>;
  /** Connects two tabs without a server, by texts that people carry. */
  readonly byHand: {
    /** Makes a text for the other tab. */
    offer(): Promise<string>;
    /** Takes the other's text; returns an answer that it must be given, if it needs one. */
    take(text: string): Promise<string | undefined>;
  };

  /** Has the machine apply a command, once, on all members, and returns its reply. */
  propose(command: Bytes, options?: CallOptions): Promise<Value>;
  /** Asks the machine. */
  query(question: Bytes, options?: CallOptions & { local?: boolean }): Promise<Value>;

  /** Leaves the cluster for good, and stops. What it had stored is deleted, its outboxes as well. */
  leave(options?: CallOptions): Promise<void>;
  /** Stops; a leader hands over first. What is stored stays, and the member can go on from there. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;

  addEventListener<Type extends keyof LiferaftEvents>(type: Type, listener: ((event: LiferaftEvents[Type]) => void) | { handleEvent(event: LiferaftEvents[Type]): void } | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<Type extends keyof LiferaftEvents>(type: Type, listener: ((event: LiferaftEvents[Type]) => void) | { handleEvent(event: LiferaftEvents[Type]): void } | null, options?: boolean | EventListenerOptions): void;
}

export interface LiferaftEvents {
  /** The status is another one: when its role, term, leader or members change, and at most once a heartbeat otherwise. */
  status: CustomEvent<Status>;
  /** Something happened in the member: for logs. */
  event: CustomEvent<Happening>;
  /**
   * The member has stopped, and why: `stopped` if it was asked to; `excluded` with `details.reason` `'removed'` if it
   * was removed for good, or `storage-lost`, and what it had stored is deleted then; `storage-full`, `storage`,
   * `machine` or `version`.
   */
  stopped: CustomEvent<LiferaftError>;
}

export interface Storage {
  readonly kind: 'indexeddb' | 'memory';
  /** Whether this is a server that was stored, another one, or another one because the browser has removed the one that
   * this tab had. */
  readonly taken: 'stored' | 'new' | 'new-after-loss';
  /** True if the browser keeps the key of this server, so that no script can read it. */
  readonly isKeyHidden: boolean;
  /** The servers of the room that were passed over, as what is stored of them is damaged or of another format, and how
   * that shows. They stay stored until they are forgotten ({@link Liferaft.forget}). */
  readonly damaged: readonly { readonly id: string; readonly message: string }[];
  /** Why it is in memory although IndexedDB was asked for or would do. */
  readonly why?: string;
}

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

export interface Status {
  readonly role: Role;
  readonly isLeader: boolean;
  readonly term: number;
  /** The id of the leader that it knows: one that it has heard within two election timeouts. */
  readonly leader?: string;
  /** The newest configuration: ids. While the voters change, those of before are among them. */
  readonly voters: readonly string[];
  readonly learners: readonly string[];
  /** Indices of the log: its end, what is stored, what is committed, what the state reflects, what a snapshot covers. */
  readonly last: number;
  readonly persisted: number;
  readonly committed: number;
  readonly applied: number;
  readonly snapshot: number;
  readonly links: readonly Link[];
  /** The signaling servers. While none is connected the cluster goes on, and newcomers come by links or by hand. */
  readonly signaling: readonly { readonly address: string; readonly isConnected: boolean }[];
  /** Messages of the protocol since the member started. */
  readonly messages: {
    readonly votesSent: number;
    readonly votesReceived: number;
    readonly appendsSent: number;
    readonly appendsReceived: number;
  };
  /** Elections that it stood for, and times that it learnt of another leader or of none. */
  readonly elections: number;
  readonly leaderChanges: number;
  /** Commands of its callers that are not done. */
  readonly pending: number;
  /** True while the storage is nearly full. */
  readonly isStorageLow: boolean;
  /** For how long the storage has done nothing, if that is longer than normal. */
  readonly storageStalledMs?: number;
  /** Why it takes no part, if it takes none. `'forgotten'` and `'token'` need another invitation. A member that was
   * removed stops once that is `isFinal`: when it has itself what the cluster has decided, and not another's word. */
  readonly exclusion?: { readonly reason: ExclusionReason; readonly message: string; readonly isFinal: boolean };
  /** What went wrong last. It may be long over. */
  readonly lastError?: string;
  /** Why it has stopped. */
  readonly stopped?: string;
}

export type ExclusionReason =
  | 'wrong-cluster' | 'another-history' | 'removed' | 'manual' | 'not-invited' | 'forgotten' | 'no-peer' | 'old-boot'
  | 'version' | 'token' | 'other';

export interface Link {
  readonly peer: string;
  /** The carrier and the addresses, or who passes packets on, for people. */
  readonly path?: string;
}

export interface Member {
  readonly id: string;
  readonly name?: string;
  readonly role: 'leader' | 'voter' | 'learner';
  readonly addresses: readonly string[];
  /** The link of this member to it, if there is one. */
  readonly link?: Link;
  readonly isSelf: boolean;
}

/** Something that happened in a member. `type` is the name of one of the crate's `Happening`s, `message` says it for
 * people. */
export interface Happening {
  readonly type: string;
  readonly term: number;
  /** When it was told, as `performance.now()` has it. */
  readonly at: number;
  readonly message: string;
}

export interface Invitation {
  readonly text: string;
  /** The page with the text behind `#`, if there is a page. */
  readonly link?: string;
  /** The QR code of the link, or of the text; `undefined` if it is too long for one. */
  readonly qr?: QrCode;
}

export interface QrCode {
  /** Modules on each side, without the light margin of 4 that it needs. */
  readonly size: number;
  isDark(x: number, y: number): boolean;
  /** An `svg` element with its margin: dark modules in `currentColor`, on nothing. */
  svg(document: Document): SVGSVGElement;
}

// ---------------------------------------------------------------------------------------------------------------------
// Keys and values

/** A change was made, at this revision. */
export interface Done {
  readonly revision: number;
}

/** What a key holds, if it holds a value. */
export interface Read {
  readonly exists: boolean;
  readonly bytes?: Uint8Array;
  readonly text?: string;
  readonly revision: number;
  /** Of a local read: how old the state may be. */
  readonly ageMs?: number;
}

export interface Entry {
  readonly key: Value;
  /** What it holds: a value, or a sequence by its count. */
  readonly value?: Value;
  readonly count?: Count;
  /** The revisions of its making and of its last change, and how often it was changed. */
  readonly created: number;
  readonly modified: number;
  readonly version: number;
}

export interface Swapped {
  readonly swapped: boolean;
  /** What it holds, if that was not the expected value; `undefined` if it does not exist. */
  readonly current?: Value;
}

export interface Appended {
  readonly appended: boolean;
  readonly count: Count;
}

export interface Trimmed {
  readonly trimmed: number;
  /** The place of the first value that is left. */
  readonly first: number;
  readonly count: Count;
}

export interface SequencePart {
  readonly values: readonly Value[];
  /** The place of the first of them. */
  readonly first: number;
  readonly count: Count;
  readonly revision: number;
  readonly ageMs?: number;
}

export interface ScanOptions {
  limit?: number;
  after?: Bytes;
}

export interface Page {
  readonly entries: readonly Entry[];
  /** Behind which key to read on, if there are more. */
  readonly after?: Value;
}

export type Step =
  | { readonly get: Bytes }
  | { readonly set: Bytes; readonly value: Bytes }
  | { readonly delete: Keys }
  | { readonly compareAndSet: Bytes; readonly expected: Bytes | null; readonly value: Bytes | null }
  | { readonly seqAppend: Bytes; readonly count: Count | 0; readonly value: Bytes }
  | { readonly append: Bytes; readonly value: Bytes }
  | { readonly trimBefore: Bytes; readonly count: Count }
  | ({ readonly scan: Keys } & Readonly<ScanOptions>);

/** What a step did: the fields of its kind. */
export interface StepResult extends Partial<Swapped>, Partial<Appended>, Partial<Trimmed>, Partial<Page> {
  readonly entry?: Entry;
  readonly deleted?: number;
  readonly place?: number;
}

export type Compare =
  | { readonly key: Bytes; readonly value: Bytes }
  | { readonly key: Bytes; readonly exists: boolean }
  | { readonly key: Bytes; readonly count: Count | 0 }
  | { readonly key: Bytes; readonly version: number; readonly order?: Order }
  | { readonly key: Bytes; readonly modified: number; readonly order?: Order }
  | { readonly key: Bytes; readonly created: number; readonly order?: Order };

/** How what is there compares to what is given. By default `'='`. */
export type Order = '<' | '=' | '>';

/** All conditions must hold for `then`, else `else` is done. Each may be left out. */
export interface Txn {
  readonly if?: readonly Compare[];
  readonly then?: readonly Step[];
  readonly else?: readonly Step[];
}

export type WatchEvent =
  | { readonly type: 'changes'; readonly revision: number; readonly changes: readonly Change[] }
  /** Everything up to this revision was told. */
  | { readonly type: 'progress'; readonly revision: number };

export type Change =
  | { readonly type: 'set'; readonly key: Value; readonly value: Value }
  /** The place of the value is `count.length - 1`. */
  | { readonly type: 'appended'; readonly key: Value; readonly value: Value; readonly count: Count }
  | { readonly type: 'trimmed'; readonly key: Value; readonly first: number; readonly count: Count }
  | { readonly type: 'deleted'; readonly key: Value };

// ---------------------------------------------------------------------------------------------------------------------
// Outboxes

export interface OutboxOptions {
  /** Default 16,384 commands and 16 MiB. */
  commandsMax?: number;
  bytesMax?: number;
  /** What becomes of the commands behind one that was given up, as its session expired: they wait for `resume`, the
   * default, or go on. */
  onExpiry?: 'stop' | 'continue';
}

/** Writes that wait until they are done. They throw if they are not taken. */
export class Outbox extends EventTarget {
  private constructor();
  set(key: Bytes, value: Bytes): Ticket<Done>;
  delete(keys: Keys): Ticket<Done & { readonly deleted: number; readonly more: boolean }>;
  compareAndSet(key: Bytes, expected: Bytes | null, value: Bytes | null): Ticket<Done & Swapped>;
  seqAppend(key: Bytes, count: Count | 0, value: Bytes): Ticket<Done & Appended>;
  append(key: Bytes, value: Bytes): Ticket<Done & { readonly place: number }>;
  trimBefore(key: Bytes, count: Count): Ticket<Done & Trimmed>;
  txn(txn: Txn): Ticket<Done & { readonly succeeded: boolean; readonly results: readonly StepResult[] }>;
  /** What is not done, in order, also of before a reload. */
  pending(): readonly Pending[];
  /** The ticket of a pending command, by its number. */
  ticket(number: number): Ticket<Done & StepResult> | undefined;
  /** `'halted'`: commands were given up, and the others wait for `resume`. */
  readonly state: 'running' | 'halted' | 'closed';
  /** Waits until all that was written before is done. */
  flush(options?: { signal?: AbortSignal }): Promise<void>;
  /** Lets go what was given up, and goes on. Returns false if it had not halted. */
  resume(): boolean;
  /** Ends the outbox. What is stored stays there. */
  close(): Promise<void>;
  /** `change`: another command is pending, was sent, or is done, or the state is another one. */
  addEventListener(type: 'change', listener: ((event: Event) => void) | { handleEvent(event: Event): void } | null, options?: boolean | AddEventListenerOptions): void;
}

export interface Pending {
  readonly number: number;
  /** Waiting was never sent; sent may be done; given up is not sent again, and may be done. */
  readonly state: 'waiting' | 'sent' | 'given-up';
  readonly isStored: boolean;
  readonly ageMs: number;
  /** What it is: its operation, and its key and value if it has them. */
  readonly operation: string;
  readonly key?: Value;
  readonly value?: Value;
}

export interface Ticket<Result> {
  readonly number: number;
  /** True once it survives a reload; at once where nothing is stored. */
  readonly stored: Promise<boolean>;
  /** What it did. Nobody has to wait for it: a rejection that nobody looks at is not reported. */
  readonly done: Promise<Result>;
}

// ---------------------------------------------------------------------------------------------------------------------
// State machines

/**
 * A state machine of your own. The same commands in the same order must give the same state and the same replies on all
 * members: no clock but `timeMs`, no randomness. A throw in `apply` or `snapshot` stops the member.
 */
export interface Machine {
  apply(command: Uint8Array, context: { readonly index: number; readonly term: number; readonly timeMs: number }): Bytes;
  query(question: Uint8Array): Bytes;
  snapshot(): Bytes;
  restore(state: Uint8Array): void;
}
