import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { decodeNetwork } from '../../src/nn/network-file.js';
import { wideResNet } from '../../src/nn/wide-resnet.js';
import { CIFAR } from '../support/golden.js';
import { energate } from './support/run.js';
import { workspace } from './support/workspace.js';

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
