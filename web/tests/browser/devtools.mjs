// Chromium by its DevTools protocol alone, for tests of what it does to pages that nobody sees: Playwright shows every
// page as visible, and lets no timer be held up.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FLAGS } from './kit.mjs';

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

  // What a page that nobody sees is given by hand: it takes no keys.
  fill(selector, value) {
    return this.evaluate(({ selector, value }) => { document.querySelector(selector).value = value; }, { selector, value });
  }

  press(selector) {
    return this.evaluate((selector) => document.querySelector(selector).form.requestSubmit(), selector);
  }

  // `frozen` or `active`.
  setLifecycle(state) {
    return this.ask('Page.setWebLifecycleState', { state });
  }
}
