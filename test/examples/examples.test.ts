/** examples/ do what they say, with the package as it is packed. */
import { cpSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { installInto, pack, ROOT, run, temporaryFolder } from '../package/support/install.js';

const folder = temporaryFolder();
afterAll(() => rmSync(folder, { recursive: true }));
const tarball = pack(folder);
const project = join(folder, 'project');
installInto(project, tarball, ['fflate', 'webgpu']);
cpSync(join(ROOT, 'examples'), join(project, 'examples'), {
  recursive: true,
  filter: (path) => !path.includes('node_modules'),
});

const runExample = (name: string) => run(process.execPath, [join(project, 'examples', name)], project);
/** How many of how many a line says were accepted. */
const accepted = (output: string, what: string): number => {
  const [, some, all] = new RegExp(`^${what}: (\\d+) of (\\d+) accepted`, 'm').exec(output)!;
  return Number(some) / Number(all);
};

describe('examples/', () => {
  it('gate.mjs accepts what the network knows and refuses a grey picture', () => {
    const output = runExample('gate.mjs');
    // Of 100, with a threshold from 200: five standard deviations below 95 %.
    expect(accepted(output, 'shapes it knows')).toBeGreaterThan(0.8);
    expect(accepted(output, 'drawn scenes')).toBeLessThan(accepted(output, 'shapes it knows'));
    expect(output).toMatch(/^a grey picture: refused, \w+, energy -?\d/m);
  }, 300_000);

  it('host.mjs refuses what its own device has faded to grey', () => {
    const output = runExample('host.mjs');
    expect(accepted(output, 'faded by 0')).toBeGreaterThan(0.75);
    expect(accepted(output, 'faded by 1')).toBe(0);
  }, 300_000);
});

const onnx = join(ROOT, 'examples/onnx/node_modules/onnxruntime-web');
const needsOnnx = existsSync(onnx) ? '' : ' (skipped: no onnxruntime-web; npm ci --prefix examples/onnx)';

it.skipIf(needsOnnx)(`onnx/gate.mjs finds its threshold on logits of onnxruntime-web${needsOnnx}`, () => {
  const output = run(process.execPath, ['gate.mjs'], join(ROOT, 'examples/onnx'));
  expect(accepted(output, 'coloured')).toBeGreaterThan(0.85);
  expect(accepted(output, 'grey')).toBe(0);
});
