import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { decodeCheckpoint } from '../../src/nn/checkpoint.js';
import { decodeNetwork, encodeNetwork } from '../../src/nn/network-file.js';
import { CIFAR, type Golden, golden, relativeError } from '../support/golden.js';
import { energate, said } from './support/run.js';
import { npzOf, WEIGHTS, workspace } from './support/workspace.js';

const { path } = workspace();

const FIELDS = ['step', 'lr', 'loss', 'cross_entropy', 'regulariser', 'energy_in', 'energy_out'];
const linesOf = (name: string) =>
  readFileSync(path(name), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);

/** Arguments of the run that a golden file records. */
const asRecorded = ({ meta }: Golden, name: string) => [
  ...['finetune', '--in', path(`${name}-in.npz`), '--outliers', path(`${name}-out.npz`)],
  ...['--loss', meta.loss, '--steps', String(meta.steps), '--lr', String(meta.lr)],
  ...['--batch', String(meta.batch), '--outlier-batch', String(meta.outlier_batch)],
  ...['--dropout', '0', '--no-augment', '--no-shuffle'],
];

describe.each(['energy', 'oe'])('finetune --loss %s', (name) => {
  const reference = golden(`finetune-${name}-wrn-10-1.npz`);

  it('computes what PyTorch does: every figure of the log, every tensor of the output', async () => {
    writeFileSync(path(`${name}-in.npz`), npzOf(reference.images('in')));
    writeFileSync(path(`${name}-out.npz`), npzOf(reference.images('out')));
    const weights = path(`${name}-start.safetensors`);
    writeFileSync(weights, encodeNetwork(reference.network()));
    const result = await energate([
      ...asRecorded(reference, name),
      ...['--weights', weights, '--log', path(`${name}.jsonl`), '--output', path(`${name}.safetensors`), '--json'],
    ]);
    expect(result.code, result.stderr).toBe(0);

    const lines = linesOf(`${name}.jsonl`);
    expect(lines).toHaveLength(reference.meta.steps);
    for (const [i, line] of lines.entries()) {
      expect(Object.keys(line)).toEqual(FIELDS);
      for (const [field, value] of Object.entries(reference.meta.log[i]!)) {
        expect(Math.abs(line[field]! - value), `step ${i + 1}: ${field}`).toBeLessThanOrEqual(1e-4 * Math.abs(value));
      }
    }
    const { output, last } = JSON.parse(result.stdout);
    expect(output).toBe(path(`${name}.safetensors`));
    expect(last).toMatchObject(lines.at(-1)!);

    const file = readSafetensors(readFileSync(path(`${name}.safetensors`)), name);
    const network = decodeNetwork(file, name);
    expect(network).toMatchObject({
      config: { depth: 10, width: 1, classes: 10 },
      batchesTracked: 3,
      normalization: CIFAR,
    });
    for (const key of reference.names.filter((key) => key.startsWith('final/'))) {
      const { data } = network.state.get(key.slice('final/'.length))!;
      expect(relativeError(data, reference.array(key).data), key).toBeLessThan(1e-4);
    }
    expect(existsSync(path(`${name}.safetensors.checkpoint`))).toBe(false);
    expect(readdirSync(path('.')).filter((file) => file.endsWith('.tmp'))).toEqual([]);
  });
});

it('says what it did on stdout, how it went on stderr, and keeps what the weights and the command line say', async () => {
  const args = [
    ...['finetune', '--weights', WEIGHTS, '--in', path('in.npz'), '--outliers', path('out.npz')],
    ...['--batch', '6', '--outlier-batch', '10', '--steps', '2', '--normalize', '0.5,0.5,0.5/0.25,0.25,0.25'],
  ];
  const result = await energate([...args, '--output', path('tuned.safetensors')]);
  expect(result.code, result.stderr).toBe(0);
  expect(result.stdout).toMatch(
    /^tuned\.safetensors: saved after 2 steps, loss \d+\.\d+, mean energy -?\d+\.\d\d in-distribution and -?\d+\.\d\d on outliers\n$/,
  );
  expect(result.stderr).toMatch(/^fine-tune {2}2\/2 {2}loss \S+ {2}E in \S+ {2}E out \S+ {2}.*steps\/s/m);
  const file = readSafetensors(readFileSync(path('tuned.safetensors')), 'tuned');
  expect(decodeNetwork(file, 'tuned').normalization).toEqual({ mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] });

  // The same with --quiet: not a word but the result, and the same bytes.
  const quiet = await energate([...args, '--output', path('quiet.safetensors'), '--quiet']);
  expect(quiet.stdout).toContain('quiet.safetensors: saved after 2 steps');
  expect(said(quiet)).toEqual([]);
  expect(quiet.stderr).not.toContain('fine-tune');
  expect(readFileSync(path('quiet.safetensors'))).toEqual(readFileSync(path('tuned.safetensors')));
});

it('a run that diverges ends with the step, exit code 1, and the state before it saved', async () => {
  const output = path('diverged.safetensors');
  const result = await energate([
    ...['finetune', '--weights', WEIGHTS, '--in', path('in.npz'), '--outliers', path('out.npz')],
    ...['--batch', '6', '--outlier-batch', '10', '--steps', '50', '--lr', '1e20', '--log', path('diverged.jsonl')],
    ...['--output', output, '--quiet'],
  ]);
  expect(result).toMatchObject({ code: 1, stdout: '' });
  const [message, ...more] = said(result);
  expect(more).toEqual([]);
  const [, bad, good] = /^energate: training diverged at step (\d+): .*; the state after step (\d+) is saved in /.exec(
    message!,
  )!;
  expect(Number(good)).toBe(Number(bad) - 1);
  expect(message).toContain(`${output}.checkpoint`);
  expect(linesOf('diverged.jsonl').at(-1)!.step).toBe(Number(good));
  expect(existsSync(output)).toBe(false);
  const saved = readFileSync(`${output}.checkpoint/checkpoint.safetensors`);
  expect(decodeCheckpoint(saved, 'saved').state.step).toBe(Number(good));
});
