import { readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import { loadImages, subset } from '../../src/data/image-set.js';
import { validationOutliers } from '../../src/data/validation-outliers.js';
import { Classifier } from '../../src/nn/classifier.js';
import { metrics } from '../../src/ood/metrics.js';
import { energy, msp } from '../../src/ood/scores.js';
import { engine } from '../support/gpu.js';
import { data, reference } from '../support/training.js';
import { energate } from './support/run.js';
import { inProcess, npzOf, WEIGHTS, workspace } from './support/workspace.js';

const { path } = workspace();
const white = {
  name: 'white',
  images: new Uint8Array(5 * 3072).map((_, i) => 255 - (i % 9)),
  count: 5,
  height: 32,
  width: 32,
};

const args = () => [
  ...['evaluate', '--weights', WEIGHTS, '--in', path('in.npz')],
  ...[
    '--ood',
    `outliers=${path('out.npz')}`,
    '--ood',
    `white=${path('white.npz')}`,
    '--ood-count',
    '20',
    '--protocol',
    'full',
  ],
];

/** What evaluating should give, from the same network's logits. */
let expected: { accuracy: number; results: Record<string, string | number>[] };
beforeAll(async () => {
  writeFileSync(path('white.npz'), npzOf(white));
  const classifier = await Classifier.create(engine, reference.network());
  const logitsOf = async (set: typeof white) => (await classifier.run(set)).logits;
  const inside = await logitsOf(data.inDistribution as typeof white);
  const sets = {
    outliers: await logitsOf(subset(data.outliers!, 0, 20) as typeof white),
    white: await logitsOf(white),
  };
  classifier.destroy();
  const labels = data.inDistribution.labels!;
  const correct = labels.filter((label, n) => {
    const row = inside.subarray(10 * n, 10 * n + 10);
    return row[label] === Math.max(...row);
  });
  const scores = { msp: (f: Float32Array) => msp(f, 10), energy: (f: Float32Array) => energy(f, 10).map((e) => -e) };
  const results = Object.entries(scores).flatMap(([score, of]) => {
    const rows = Object.entries(sets).map(([set, logits]) => ({
      score,
      set,
      ...metrics(of(inside), of(logits), { convention: 'paper' }),
    }));
    const [a, b] = rows as unknown as Record<string, number>[];
    const mean = Object.fromEntries(
      ['fpr95', 'auroc', 'aupr_in', 'aupr_out'].map((name) => [name, expect.closeTo((a![name]! + b![name]!) / 2, 12)]),
    );
    return [...rows, { score, set: 'average', ...mean }];
  });
  expected = { accuracy: correct.length / labels.length, results };
});

it('evaluate: a table on stdout, the figures in a file', async () => {
  const result = await energate([...args(), '--json', path('result.json'), '--quiet']);
  expect(result.code, result.stderr).toBe(0);
  const written = JSON.parse(readFileSync(path('result.json'), 'utf8'));
  expect(written).toMatchObject({ ...expected, protocol: 'full', convention: 'paper' });
  const [accuracy, convention, header, ...rows] = result.stdout.trimEnd().split('\n');
  expect(accuracy).toBe(`accuracy ${(100 * expected.accuracy).toFixed(2)} % of 18 in-distribution images`);
  expect(convention).toMatch(/^protocol full: in-distribution positive, nearest recall, step AUPR, all images/);
  expect(header).toMatch(
    /^score +set +FPR95 \(in-distribution positive, nearest\) +AUROC +AUPR-in \(step\) +AUPR-out \(step\) +OOD images$/,
  );
  expect(rows.map((row) => row.split(/ +/).slice(0, 2))).toEqual(
    expected.results.map(({ score, set }) => [score, set]),
  );
  const first = written.results[0];
  expect(
    rows[0]!
      .replaceAll(/ \[.*?\]/g, '')
      .split(/ +/)
      .slice(2, 6)
      .map(Number),
  ).toEqual([first.fpr95, first.auroc, first.aupr_in, first.aupr_out].map((value) => Number((100 * value).toFixed(2))));
});

it('evaluate --json -: nothing on stdout but the figures; scores and protocol as asked', async () => {
  const result = await energate([...args(), '--json', '-', '--scores', 'maxlogit', '--protocol', 'openood']);
  expect(result.code, result.stderr).toBe(0);
  const { accuracy, convention, results } = JSON.parse(result.stdout);
  expect({ accuracy, convention }).toEqual({ accuracy: expected.accuracy, convention: 'openood' });
  expect(results.map(({ score, set }: Record<string, string>) => [score, set])).toEqual([
    ['maxlogit', 'outliers'],
    ['maxlogit', 'white'],
    ['maxlogit', 'average'],
  ]);
});

it('--ood NAME alone: images made from those of --in, a fifth as many', async () => {
  const made = await loadImages(validationOutliers('inversion', data.inDistribution, { seed: 9, count: 3 }));
  writeFileSync(path('inversion.npz'), npzOf(made));
  const evaluated = async (ood: string) => {
    const json = path('made.json');
    const args = ['--in', path('in.npz'), '--ood', ood, '--seed', '9', '--protocol', 'full', '--json', json, '--quiet'];
    const result = await inProcess(['evaluate', '--weights', WEIGHTS, ...args]);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    return JSON.parse(readFileSync(json, 'utf8'));
  };
  const alone = await evaluated('inversion');
  expect(alone.results[0]).toMatchObject({ set: 'inversion', ood_count: 3 });
  expect(alone).toEqual(await evaluated(`inversion=${path('inversion.npz')}`));
});
