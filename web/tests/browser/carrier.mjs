// The conformance kit over the browser's carrier, in one page of Chromium. Run by `cargo xtask test --only browser`:
//
//   node carrier.mjs RUNNER MODULE CHROMIUM MODULES
//
// with wasm-bindgen's runner of tests, the compiled test, the browser, and the folder of node_modules.
import { check, endsWithin, launch, start, tab } from './kit.mjs';

const [runner, module, chromium, modules] = process.argv.slice(2);
const end = endsWithin(120_000);

// It serves the test at a free port, and leaves it to us to open a page.
process.env.NO_HEADLESS = '1';
process.env.WASM_BINDGEN_TEST_ADDRESS = '127.0.0.1:0';
const tests = await start(runner, [module], (line) => line.match(/http:\/\/127\.0\.0\.1:\d+/)?.[0]);
const browser = await launch(modules, chromium);
try {
  const page = await tab(browser, tests.said);
  const result = () => document.getElementById('output')?.textContent.includes('test result: ');
  await page.waitForFunction(result, undefined, { timeout: 100_000 });
  const output = await page.textContent('#output');
  console.log(output);
  check(output.includes('test result: ok'), 'the carrier keeps every promise');
} finally {
  await browser.close();
  await tests.stop();
  end();
}
