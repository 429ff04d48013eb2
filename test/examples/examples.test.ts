/** examples/ do what they say, with the package as it is packed. */
import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { syntheticImages } from '../../src/data/synthetic/index.js';
import { readStateDict } from '../../src/formats/state-dict.js';
import { encodeGate } from '../../src/gate/gate-file.js';
import { decodeNetwork } from '../../src/nn/network-file.js';
import { installInto, pack, ROOT, run, temporaryFolder } from '../package/support/install.js';
import { CHROMIUM, launch } from '../support/browsers.js';
import { serve } from '../support/site.js';

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
  }, 600_000);

  it('host.mjs refuses what its own device has faded to grey', () => {
    const output = runExample('host.mjs');
    expect(accepted(output, 'faded by 0')).toBeGreaterThan(0.75);
    expect(accepted(output, 'faded by 1')).toBe(0);
  }, 600_000);
});

const onnx = join(ROOT, 'examples/onnx/node_modules/onnxruntime-web');
const needsOnnx = existsSync(onnx) ? '' : ' (skipped: no onnxruntime-web; npm ci --prefix examples/onnx)';

it.skipIf(needsOnnx)(`onnx/gate.mjs finds its threshold on logits of onnxruntime-web${needsOnnx}`, () => {
  const output = run(process.execPath, ['gate.mjs'], join(ROOT, 'examples/onnx'));
  expect(accepted(output, 'coloured')).toBeGreaterThan(0.85);
  expect(accepted(output, 'grey')).toBe(0);
});

const needsChromium = CHROMIUM.missing ? ` (skipped: ${CHROMIUM.missing})` : '';

it.skipIf(needsChromium)(
  `page/ decides about pictures${needsChromium}`,
  async () => {
    const name = 'weights/wrn-10-1-shapes.safetensors';
    const weights = await readFile(join(ROOT, name));
    // Scores of shapes are 5 and more, that of a grey picture is 3.
    const gate = await encodeGate({
      ...{
        network: decodeNetwork(readStateDict(weights, name), name),
        precision: 'float32',
        score: 'energy',
        accept: 0.95,
      },
      ...{
        fit: undefined,
        calibration: { scores: Float64Array.from({ length: 100 }, (_, i) => 3.5 + i / 10), labels: undefined },
      },
    });
    writeFileSync(join(folder, 'shapes.energate'), gate);
    const shape = syntheticImages({ seed: 3, count: 1, split: 'test' });
    await sharp(shape.images, { raw: { width: 32, height: 32, channels: 3 } })
      .png()
      .toFile(join(folder, 'shape.png'));
    await sharp({ create: { width: 64, height: 48, channels: 3, background: '#808080' } })
      .png()
      .toFile(join(folder, 'grey.png'));

    const site = await serve(ROOT);
    const browser = await launch(CHROMIUM);
    try {
      const page = await browser.newPage();
      const errors: string[] = [];
      page.on('pageerror', (error) => errors.push(error.message));
      await page.goto(`${site.url}examples/page/index.html`);
      await page.setInputFiles('#gate', join(folder, 'shapes.energate'));
      await page.waitForSelector('#pictures:enabled', { timeout: 280_000 });
      await page.setInputFiles('#pictures', [join(folder, 'shape.png'), join(folder, 'grey.png')]);
      await page.waitForSelector('#decisions li:nth-child(4)', { timeout: 280_000 });
      const lines = await page.locator('#decisions li').allTextContents();
      expect(lines[2]).toMatch(/^shape.png: accepted as \w+ \(p = 0\.\d+\)$/);
      expect(lines[3]).toMatch(/^grey.png: refused \(p = 0\.\d+\)$/);
      await page.setInputFiles('#gate', join(folder, 'grey.png'));
      await page.waitForSelector('#decisions li:nth-child(6)');
      expect(await page.locator('#decisions li').nth(5).textContent()).toContain('grey.png');
      expect(errors).toEqual([]);
    } finally {
      await browser.close();
      await site.close();
    }
  },
  300_000,
);
