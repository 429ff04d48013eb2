import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { syntheticImages } from '../../src/data/synthetic/index.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { decodeNetwork } from '../../src/nn/network-file.js';
import { CLI, start } from './support/run.js';
import { inProcess, npzOf, WEIGHTS, workspace } from './support/workspace.js';

const { path } = workspace();
const args = (name: string, ...more: string[]) => [
  ...['sweep', '--weights', WEIGHTS, '--in', path('forty.npz'), '--outliers', path('out.npz'), '--batch', '6'],
  ...[
    '--outlier-batch',
    '10',
    '--steps',
    '2',
    '--m-in',
    '-20,-5',
    '--m-out',
    '-1',
    '--output',
    path(name),
    '--quiet',
    ...more,
  ],
];
const networksIn = (name: string) =>
  existsSync(path(`${name}/cache`))
    ? readdirSync(path(`${name}/cache`)).filter((file) => /^network-.*\.safetensors$/.test(file))
    : [];

beforeAll(() => writeFileSync(path('forty.npz'), npzOf(syntheticImages({ seed: 2, count: 40, split: 'train' }))));

describe('sweep', () => {
  it('killed after its first pair, it goes on to the same files, and does not fine-tune that pair again', async () => {
    const { child, result } = start(CLI, args('killed'));
    while (networksIn('killed').length === 0 && child.exitCode === null) await sleep(20);
    child.kill('SIGKILL');
    await result;
    expect(existsSync(path('killed/sweep.json'))).toBe(false);
    const [first] = networksIn('killed');
    const { mtimeMs } = statSync(path(`killed/cache/${first}`));

    const resumed = await inProcess(args('killed'));
    expect(resumed).toMatchObject({ code: 0, stderr: '' });
    expect(statSync(path(`killed/cache/${first}`)).mtimeMs).toBe(mtimeMs);
    expect(networksIn('killed')).toHaveLength(2);
    const whole = await inProcess(args('whole'));
    expect(whole.stdout).toBe(resumed.stdout.replaceAll('killed', 'whole'));
    for (const file of ['sweep.json', 'sweep.csv', 'sweep.md', 'best.safetensors']) {
      expect(readFileSync(path(`killed/${file}`)), file).toEqual(readFileSync(path(`whole/${file}`)));
    }
    expect(readdirSync(path('whole/cache')).some((name) => name.startsWith('run-'))).toBe(false);
  }, 300_000);

  it('reports every pair, and saves the network of the one with the lowest FPR95', () => {
    const { best, results, choice } = JSON.parse(readFileSync(path('whole/sweep.json'), 'utf8'));
    expect(results.map(({ mIn, mOut }: { mIn: number; mOut: number }) => [mIn, mOut])).toEqual([
      [-20, -1],
      [-5, -1],
    ]);
    const lowest = Math.min(...results.map(({ fpr95 }: { fpr95: number }) => fpr95));
    expect(results.find(({ mIn }: { mIn: number }) => mIn === best.mIn).fpr95).toBe(lowest);
    expect(choice).toContain('of equals the higher AUROC');
    for (const { fpr95, families } of results) {
      const values = Object.values(families) as number[];
      expect(values).toHaveLength(8);
      expect(fpr95).toBeCloseTo(values.reduce((a, b) => a + b, 0) / 8, 12);
    }
    const network = decodeNetwork(readSafetensors(readFileSync(path('whole/best.safetensors')), 'best'), 'best');
    expect(network.batchesTracked).toBeGreaterThanOrEqual(2);
    expect(readFileSync(path('whole/sweep.csv'), 'utf8').split('\n')[0]).toBe(
      'mIn,mOut,fpr95,auroc,accuracy,uniform_noise,arithmetic_mean,geometric_mean,jigsaw,speckle,pixelation,rgb_ghosting,inversion',
    );
  });

  it('a damaged file of its cache is made again', async () => {
    const cache = path('whole/cache');
    const outputs = readdirSync(cache).filter((name) => name.startsWith('outputs-'));
    const before = readFileSync(path('whole/sweep.json'));
    writeFileSync(`${cache}/${outputs[0]}`, 'not a zip');
    rmSync(path('whole/sweep.json'));
    expect(await inProcess(args('whole'))).toMatchObject({ code: 0, stderr: '' });
    expect(readFileSync(path('whole/sweep.json'))).toEqual(before);
    expect(readFileSync(`${cache}/${outputs[0]}`).length).toBeGreaterThan(100);
  });

  it.each([
    [['--m-in', '-1', '--m-out', '-3'], '--m-in -1 must be below --m-out -3'],
    [['--m-in', '-1,-1'], 'give each number once'],
    [['--in', '@in.npz'], 'in has 18 images: too few to hold a tenth of them out'],
    [['--batch', '37'], 'batch 37 is larger than'],
  ])('refuses %j', async (more, message) => {
    const given = more.map((value) => (value.startsWith('@') ? path(value.slice(1)) : value));
    const result = await inProcess(args('refused', ...given));
    expect(result).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(message) });
  });

  it('does not write over the network that it starts from', async () => {
    mkdirSync(path('again'));
    cpSync(WEIGHTS, path('again/best.safetensors'));
    const result = await inProcess(args('again', '--weights', path('again/best.safetensors')));
    expect(result).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/best\.safetensors: it is read, as /),
    });
  });

  it('takes all three inputs or none', async () => {
    const result = await inProcess(['sweep', '--weights', WEIGHTS, '--output', path('refused')]);
    expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining('--in and --outliers missing') });
  });
});
