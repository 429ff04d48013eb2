/**
 * `npm test`: formatting and lint, types, then the tests, on the machine's GPU or the software driver that is found. Arguments go to
 * vitest (`npm test -- test/kernels`). The last line counts tests: `N passed, N failed, N skipped`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vulkanManifests } from '../src/node/vulkan.js';
import { NoAdapterError, openEngine, swiftshaderEnvironment } from '../src/node.js';

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

const environment = await adapterEnvironment();
const folder = mkdtempSync(join(tmpdir(), 'energate-test-'));
const report = join(folder, 'report.json');
const passed = [
  run(biome, ['ci', '--error-on-warnings']),
  run(tsc, ['-p', '.']),
  run(
    vitest,
    ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...process.argv.slice(2)],
    environment,
  ),
].every(Boolean);
// There is no report where vitest itself could not start.
const counts = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : {};
const { numPassedTests = 0, numFailedTests = 0, numPendingTests = 0 } = counts;
rmSync(folder, { recursive: true });
// Formatting, lint or types that fail count as a failed test.
console.log(`${numPassedTests} passed, ${numFailedTests || (passed ? 0 : 1)} failed, ${numPendingTests} skipped`);
process.exitCode = passed ? 0 : 1;
