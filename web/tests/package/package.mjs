// The package where it says that it runs: in Node, by its types in a project of TypeScript, in a project of Vite as it
// is developed and as it is built, and in a page without any tool. Run by `cargo xtask test --only web`:
//
//   node package.mjs PROJECT [CHROMIUM MODULES]
//
// with the folder of a project that has installed the tarball, the browser, and the folder of node_modules to drive it.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { check, endsWithin, launch, serveFiles, start } from '../browser/kit.mjs';

const [project, chromium, modules] = process.argv.slice(2);
const end = endsWithin(110_000);
const installed = (name) => path.join(project, 'node_modules', name);
const run = (script, ...args) => execFileSync(process.execPath, [script, ...args], { cwd: project, stdio: 'inherit' });
const TYPES = '--noEmit --strict --target es2022 --lib es2022,dom,esnext.disposable --module esnext --moduleResolution bundler --types'.split(' ');
const vite = installed('vite/bin/vite.js');

run(path.join(project, 'node.mjs'));
run(installed('typescript/bin/tsc'), ...TYPES, '', 'types.ts');
check(true, 'its types are those that the project uses');
run(vite, 'build', '--logLevel', 'warn');
const built = readdirSync(path.join(project, 'dist/assets'));
check(built.filter((name) => name.endsWith('.wasm')).length === 1, 'Vite ships the module once');

if (chromium) {
  const browser = await launch(modules, chromium);
  const greets = async (address, what) => {
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`page: ${error}`));
    await page.goto(address);
    await page.waitForFunction(() => !['bundled', 'inline'].includes(document.title), undefined, { timeout: 30_000, polling: 50 });
    check(await page.title() === 'hello', `${what}: ${await page.title()}`);
    await page.close();
  };
  process.env.NO_COLOR = '1';
  for (const [command, what] of [[[], 'a project of Vite as it is developed'], [['preview'], 'a project of Vite as it is built']]) {
    const server = await start(process.execPath, [vite, ...command, project, '--host', '127.0.0.1', '--port', '0'],
      (line) => line.match(/(http:\/\/127\.0\.0\.1:\d+\/)/)?.[1]);
    await greets(server.said, what);
    await server.stop('SIGKILL');
  }
  const files = await serveFiles(installed('@liferaft/web'));
  for (const name of ['inline.html', 'member.js']) files.add(name, readFileSync(path.join(project, name)));
  await greets(`${files.origin}/inline.html`, 'a page with one script');
  files.close();
  await browser.close();
}
end();
