// Chromium by its DevTools protocol alone, for tests of what it does to pages that nobody sees: Playwright shows every
// page as visible, and lets no timer be held up.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FLAGS } from './kit.mjs';

const POLL_MS = 100;
const SHOWN_WITHIN_MS = 30_000;

export async function launch(executablePath) {
  const folder = mkdtempSync(path.join(tmpdir(), 'liferaft-chromium-'));
  const args = ['--headless', ...FLAGS, '--remote-debugging-pipe', `--user-data-dir=${folder}`, 'about:blank'];
  const child = spawn(executablePath, args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const ended = new Promise((done) => { child.on('exit', done); });
  const [, , , commands, answers] = child.stdio;
  const asked = new Map();
  let unread = Buffer.alloc(0);
  answers.on('data', (bytes) => {
    unread = Buffer.concat([unread, bytes]);
    for (let end = unread.indexOf(0); end >= 0; end = unread.indexOf(0)) {
      const { id, result, error } = JSON.parse(unread.subarray(0, end));
      unread = unread.subarray(end + 1);
      const question = asked.get(id);
      asked.delete(id);
      if (error) question?.reject(new Error(`${question.method}: ${error.message}`));
      else question?.resolve(result);
    }
  });
  let id = 0;
  const ask = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
    id += 1;
    asked.set(id, { method, resolve, reject });
    commands.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  });
  return {
    // A page in a tab of the one window, which hides the tab that was shown before.
    async open(url) {
      const { targetId } = await ask('Target.createTarget', { url });
      const { sessionId } = await ask('Target.attachToTarget', { targetId, flatten: true });
      return new Tab((method, params) => ask(method, params, sessionId), () => ask('Target.activateTarget', { targetId }));
    },
    async close() {
      child.kill();
      await ended;
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

class Tab {
  constructor(ask, activate) {
    this.ask = ask;
    this.activate = activate;
  }

  // Returns what a function returns, or promises, in the page.
  async evaluate(run, argument) {
    const expression = `(${run})(${JSON.stringify(argument)})`;
    const { result, exceptionDetails } = await this.ask('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  text(id) {
    return this.evaluate((id) => document.getElementById(id)?.textContent ?? '', id);
  }

  // Waits until the page shows what is asked for. It is asked from outside: the page's own timers may be held up.
  async shows(what, holds, argument) {
    for (const end = Date.now() + SHOWN_WITHIN_MS; Date.now() < end;) {
      if (await this.evaluate(holds, argument).catch(() => false)) {
        console.log(`ok: ${what}`);
        return;
      }
      await new Promise((later) => setTimeout(later, POLL_MS));
    }
    throw new Error(`not shown: ${what}`);
  }

  // `frozen` or `active`.
  setLifecycle(state) {
    return this.ask('Page.setWebLifecycleState', { state });
  }
}
