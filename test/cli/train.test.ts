import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { decodeNetwork } from '../../src/nn/network-file.js';
import { wideResNet } from '../../src/nn/wide-resnet.js';
import { CIFAR } from '../support/golden.js';
import { energate } from './support/run.js';
import { inProcess, workspace } from './support/workspace.js';

const { path } = workspace();

it('train: a network from scratch, that the seed decides', async () => {
  const output = path('trained.safetensors');
  const result = await energate([
    ...['train', '--data', path('in.npz'), '--depth', '10', '--width', '1', '--batch', '16', '--steps', '2'],
    ...['--seed', '7', '--lr', '0.1', '--log', path('train.jsonl'), '--output', output, '--json'],
  ]);
  expect(result.code, result.stderr).toBe(0);
  const report = JSON.parse(result.stdout);
  expect(report).toMatchObject({ output, network: { depth: 10, width: 1 }, parameters: expect.any(Number) });

  const lines = readFileSync(path('train.jsonl'), 'utf8').trimEnd().split('\n');
  const figures = lines.map((line) => JSON.parse(line));
  expect(figures.map(({ step }) => step)).toEqual([1, 2]);
  expect(figures.map(({ lr }) => lr)).toEqual([expect.closeTo((0.1 + 1e-6) / 2, 12), expect.closeTo(1e-6, 12)]);
  for (const line of figures) expect(line).toMatchObject({ loss: line.cross_entropy, regulariser: 0, energy_out: 0 });
  expect(report.last).toMatchObject(figures[1]);

  const network = decodeNetwork(readSafetensors(readFileSync(output), output), output);
  const { classes } = report.network;
  expect(network).toMatchObject({ config: report.network, batchesTracked: 2, normalization: CIFAR });
  // An untrained network knows nothing: the first loss is about that of guessing.
  expect(Math.abs(figures[0].loss - Math.log(classes))).toBeLessThan(1);
  // It began at the seed's weights: the second step changes next to nothing, the first at most by its rate.
  const fresh = wideResNet(network.config, { seed: 7, normalization: CIFAR }).state.get('fc.weight')!.data;
  const trained = network.state.get('fc.weight')!.data;
  expect(trained).not.toEqual(fresh);
  expect(Math.max(...trained.map((value, i) => Math.abs(value - fresh[i]!)))).toBeLessThan(0.2);
});

describe('train with outliers', () => {
  it.each([
    ['energy', ['--m-in', '-20', '--m-out', '20']],
    ['oe', []],
    ['hinge', ['--margin', '1000']],
  ])('%s, from the first step', async (loss, more) => {
    const output = path(`${loss}.safetensors`);
    const log = path(`${loss}.jsonl`);
    const result = await inProcess([
      ...['train', '--data', path('in.npz'), '--outliers', path('out.npz'), '--depth', '10', '--batch', '6'],
      ...['--outlier-batch', '10', '--steps', '3', '--loss', loss, ...more],
      ...['--log', log, '--output', output, '--quiet'],
    ]);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines.map((text) => JSON.parse(text))) {
      expect(line.regulariser).toBeGreaterThan(0);
      expect(line.loss).toBeCloseTo(line.cross_entropy + line.regulariser, 3);
      expect(line.energy_out).toBeLessThan(0);
      // Where every pair is too close, the mean over all pairs is that of the means.
      if (loss === 'hinge') expect(line.regulariser).toBeCloseTo(0.1 * (line.energy_in - line.energy_out + 1000), 3);
    }
    const network = decodeNetwork(readSafetensors(readFileSync(output), output), output);
    expect(network.batchesTracked).toBe(3);
  });

  it.each([
    [['--data', 'in.npz', '--loss', 'oe'], '--outliers is missing: --loss oe needs outlier images'],
    [['--m-in', '-3'], '--m-in is of training with outliers: give --outliers, or --loss for the embedded'],
    [['--outliers', 'out.npz', '--margin', '3'], '--margin is of --loss hinge, not of energy: leave it out'],
    [['--loss', 'hinge', '--m-out', '3'], '--m-out is of --loss energy, not of hinge: leave it out'],
    [['--loss', 'odin'], '--loss odin does not exist: give energy, hinge, oe'],
  ])('refuses %j', async (more, message) => {
    const given = more.map((value) => (value.endsWith('.npz') ? path(value) : value));
    const result = await inProcess(['train', ...given, '--output', path('refused.safetensors')]);
    expect(result).toEqual({ code: 2, stdout: '', stderr: `energate: ${message}\n` });
  });
});
