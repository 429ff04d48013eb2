/**
 * `npm test`: formatting and lint, types, then the tests, on the machine's GPU or the software driver that is found. With
 * `--browser`, those of vitest.browser.config.ts too, in the browsers that are installed. Other arguments go to vitest
 * (`npm test -- test/kernels`). The last line counts all tests: `N passed, N failed, N skipped`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vulkanManifests } from '../src/node/vulkan.js';
import { NoAdapterError, openEngine, swiftshaderEnvironment } from '../src/node.js';
import { BROWSERS } from '../test/support/browsers.js';

const [biome, tsc, vitest] = ['biome', 'tsc', 'vitest'].map((name) => join('node_modules', '.bin', name)) as [
  string,
  string,
  string,
];

function run(command: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}): boolean {
  return spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, ...environment } }).status === 0;
}

/** What tests need in their environment to have an adapter. */
async function adapterEnvironment(): Promise<Record<string, string>> {
  try {
    if (process.platform === 'linux' && vulkanManifests().length === 0) throw new NoAdapterError('no driver');
    const engine = await openEngine();
    console.log(`tests run on ${engine.adapter.description}`);
    engine.destroy();
    return {};
  } catch (error) {
    if (!(error instanceof NoAdapterError)) throw error;
    console.log('tests run on SwiftShader, slowly: no Vulkan driver was found');
    return { ...(await swiftshaderEnvironment()) };
  }
}

const args = process.argv.slice(2).filter((argument) => argument !== '--browser');
const browser = process.argv.includes('--browser');
const folder = mkdtempSync(join(tmpdir(), 'energate-test-'));
const total = { passed: 0, failed: 0, skipped: 0 };

/** Runs vitest and adds its counts. */
function runTests(name: string, options: readonly string[], environment: Readonly<Record<string, string>>): boolean {
  const report = join(folder, `${name}.json`);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const good = run(vitest, ['run', ...options, ...reporters, ...args], environment);
  // There is no report where vitest itself could not start.
  const counts = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : {};
  total.passed += counts.numPassedTests ?? 0;
  // What fails outside of any test counts as one.
  total.failed += counts.numFailedTests || (good ? 0 : 1);
  total.skipped += counts.numPendingTests ?? 0;
  return good;
}

const environment = await adapterEnvironment();
const checks = [run(biome, ['ci', '--error-on-warnings']), run(tsc, ['-p', '.'])];
total.failed += checks.filter((good) => !good).length;
const passed = [...checks, runTests('node', [], environment)];
if (browser) {
  for (const { name, missing } of BROWSERS) if (missing) console.log(`tests in ${name} are skipped: ${missing}`);
  if (BROWSERS.some(({ missing }) => !missing)) {
    passed.push(runTests('browser', ['--config', 'vitest.browser.config.ts'], {}));
  }
}
rmSync(folder, { recursive: true });
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = passed.every(Boolean) ? 0 : 1;
