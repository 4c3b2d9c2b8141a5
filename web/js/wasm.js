// Loads the module once for all members of a page, and ends what waits for it if it ends.
import { alarmBy } from './alarm.js';
import { LiferaftError, fault, invalid } from './errors.js';
import { onTrap } from './guard.js';
import * as raw from './liferaft_web.js';

// That of the crate: a module of another one is not used.
export const version = '0.1.0';

const KIND = 'application/wasm';

// What costs precision here, in sentences.
export const warnings = [];

// What rejects each promise that waits for the module.
const waiting = new Set();
let loading;
let isLoaded = false;
let ended;
// Makes sockets in hosts that have none.
let makeSocket;
let alarm;

// Who keeps the time of the members here: 'worker' or 'page'.
export const timekeeper = () => alarm?.keeper() ?? 'page';

export const socketMaker = () => makeSocket;

// Loads it; `defaults` has functions that return the module and the worker of this entry.
export function load(defaults, options) {
  loading ??= begin(defaults, options ?? {}).catch((error) => {
    // It may be tried again.
    loading = undefined;
    throw fault(error);
  });
  return loading;
}

async function begin(defaults, { wasm = defaults.wasm(), worker = defaults.worker(), WebSocket }) {
  const module = await compile(wasm);
  const found = await raw.default({ module_or_path: module }).then(() => raw.version()).catch((error) => `none: ${error.message}`);
  if (found !== version) throw new LiferaftError('version', `the module is of version ${found}, and this script of ${version}: load both anew`);
  raw.onPanic(end);
  onTrap(({ message }) => end(message));
  if (worker) {
    // A module that has ended is not entered any more.
    alarm = alarmBy(worker, () => { if (!ended) raw.rung(); }, (why) => warnings.push(why));
    raw.setAlarm(alarm.set);
  }
  if (WebSocket) makeSocket = (address) => new WebSocket(address);
  isLoaded = true;
}

const unreachable = (where, error) => new LiferaftError('unreachable', `the module at ${where} was not loaded: ${error.message}`);

async function compile(source) {
  const given = await Promise.resolve(source).catch((error) => { throw unreachable('its place', error); });
  if (given instanceof WebAssembly.Module) return given;
  if (given instanceof ArrayBuffer || ArrayBuffer.isView(given)) return compiled(WebAssembly.compile(given));
  const response = given instanceof Response ? given : await fetch(given).catch((error) => { throw unreachable(given, error); });
  if (!response.ok) throw new LiferaftError('unreachable', `the module at ${response.url} was not loaded: ${response.status}`);
  const kind = response.headers.get('content-type') ?? 'none';
  if (kind.split(';')[0].trim().toLowerCase() === KIND) return compiled(WebAssembly.compileStreaming(response), response.url);
  warnings.push(`The server sends ${response.url} as ${kind} and not as ${KIND}: it is compiled only when all of it is there.`);
  return compiled(response.arrayBuffer().then((bytes) => WebAssembly.compile(bytes)), response.url);
}

// What is compiled may be no module, or its end may not come.
function compiled(module, where = 'its place') {
  return module.catch((error) => {
    throw error instanceof WebAssembly.CompileError ? invalid(`what is given as the module is none: ${error.message}`) : unreachable(where, error);
  });
}

// There was a bug, or no memory is left: the module settles no promise any more. A panic, which tells more, traps too.
function end(message) {
  if (ended) return;
  ended = new LiferaftError('internal', `a bug, or want of memory, has ended all members of this page: ${message}`, 'unknown');
  console.error(ended);
  alarm?.set();
  for (const reject of [...waiting]) reject(ended);
}

// Returns what the module exports.
export function exported() {
  if (ended) throw ended;
  if (!isLoaded) throw new LiferaftError('invalid-argument', 'await init() first');
  return raw;
}

// Settles as a promise of the module, unless `signal` is aborted or the module ends before. What was asked may then be
// done, or not.
export function settled(promise, signal) {
  return new Promise((resolve, reject) => {
    const over = () => {
      waiting.delete(fail);
      signal?.removeEventListener('abort', abort);
    };
    const fail = (error) => { over(); reject(fault(error)); };
    const abort = () => fail(aborted(signal, 'unknown'));
    // Nothing ends again, and nothing is aborted again.
    if (ended) {
      fail(ended);
      return;
    }
    waiting.add(fail);
    signal?.addEventListener('abort', abort);
    promise.then((value) => { over(); resolve(value); }, fail);
    if (signal?.aborted) abort();
  });
}

export const aborted = (signal, outcome) => new LiferaftError('aborted', `it was aborted: ${signal.reason}`, outcome, { reason: signal.reason });
