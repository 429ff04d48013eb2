import { expect, it } from 'vitest';
import { EnergateError, ShapeError, UsageError } from '../../src/errors.js';
import { Graph, type Shape } from '../../src/graph/graph.js';
import { batchNorm } from '../../src/graph/ops/batch-norm.js';
import { conv2d } from '../../src/graph/ops/conv2d.js';
import { add, clip, dropout, relu } from '../../src/graph/ops/elementwise.js';
import { energyLoss, lossStatistics } from '../../src/graph/ops/energy-loss.js';
import { gatherImages } from '../../src/graph/ops/gather-images.js';
import { matmul } from '../../src/graph/ops/matmul.js';
import { pack, sgd, updateRunningStatistics } from '../../src/graph/ops/optimiser.js';
import { globalAveragePool } from '../../src/graph/ops/pool.js';
import { exponentials, generalisedEntropy, largest, prune, rowSquares, unitRows } from '../../src/graph/ops/rows.js';

const graph = new Graph();
const t = (name: string, ...shape: number[]) => graph.input(name, shape);
const step = t('step', 4);
const halted = t('halted', 1);
const state = { step, halted };
const sgdOptions = { momentum: 0.9, weightDecay: 0 };
const energy = { kind: 'energy', mIn: -23, mOut: -5, lambda: 0.1 } as const;
const gather = (options: { indices?: Shape; data?: Shape; step?: Shape }) =>
  gatherImages(
    [
      {
        indices: t('indices', ...(options.indices ?? [5])),
        chunks: [{ tensor: t('data', ...(options.data ?? [768])), start: 0, count: 1 }],
      },
    ],
    t('step', ...(options.step ?? [4])),
    { height: 32, width: 32, normalization: { mean: [0, 0, 0], std: [1, 1, 1] }, augment: false },
  );

const norm = (shapes: { mean?: Shape; gamma?: Shape }) =>
  batchNorm(
    t('x', 2, 2, 2, 3),
    { mean: t('mean', ...(shapes.mean ?? [3])), variance: t('variance', 3) },
    { gamma: t('gamma', ...(shapes.gamma ?? [3])), beta: t('beta', 3) },
  );

const REFUSALS: readonly [string, () => unknown, string][] = [
  [
    'conv2d: rank of the input',
    () => conv2d(t('x', 2, 3), t('w', 3, 3, 3, 4), { stride: 1 }),
    'conv2d: input x is 2x3, but *x*x*x* is needed',
  ],
  [
    'conv2d: channels',
    () => conv2d(t('x', 1, 8, 8, 3), t('w', 3, 3, 4, 4), { stride: 1 }),
    'conv2d: filter w is 3x3x4x4, but *x3x3x* is needed',
  ],
  [
    'conv2d: filter not square',
    () => conv2d(t('x', 1, 8, 8, 3), t('w', 3, 1, 3, 4), { stride: 1 }),
    'conv2d: filter w is 3x1x3x4, but *x3x3x* is needed',
  ],
  [
    'conv2d: even filter',
    () => conv2d(t('x', 1, 8, 8, 3), t('w', 2, 2, 3, 4), { stride: 1 }),
    'conv2d: filter w of 2x2x3x4 has an even size',
  ],
  [
    'conv2d: stride',
    () => conv2d(t('x', 1, 8, 8, 3), t('w', 3, 3, 3, 4), { stride: 1.5 }),
    'conv2d: a stride of 1.5 is no whole number above 0',
  ],
  [
    'conv2d: residual',
    () => conv2d(t('x', 1, 8, 8, 3), t('w', 3, 3, 3, 4), { stride: 2, residual: t('r', 1, 8, 8, 4) }),
    'conv2d: residual r is 1x8x8x4, but 1x4x4x4 is needed',
  ],
  [
    'batch norm: statistics',
    () => norm({ mean: [4] }),
    'batch_norm: statistic or parameter mean is 4, but 3 is needed',
  ],
  [
    'batch norm: parameters',
    () => norm({ gamma: [3, 1] }),
    'batch_norm: statistic or parameter gamma is 3x1, but 3 is needed',
  ],
  ['add', () => add(t('a', 2, 3), t('b', 3, 2)), 'add: second operand b is 3x2, but 2x3 is needed'],
  ['dropout: step', () => dropout(t('x', 2), t('step', 2), { rate: 0.1 }), 'dropout: step step is 2, but 4 is needed'],
  ['pool', () => globalAveragePool(t('x', 2, 3)), 'global_average_pool: input x is 2x3, but *x*x*x* is needed'],
  ['matmul: rank', () => matmul(t('a', 2), t('b', 2, 2)), 'matmul: left operand a is 2, but *x* is needed'],
  ['matmul: inner size', () => matmul(t('a', 2, 3), t('b', 4, 5)), 'matmul: right operand b is 4x5, but 3x* is needed'],
  [
    'matmul: inner size, transposed',
    () => matmul(t('a', 2, 3), t('b', 2, 5), { transposeA: true, transposeB: true }),
    'matmul: right operand b is 2x5, but *x2 is needed',
  ],
  [
    'matmul: bias',
    () => matmul(t('a', 2, 3), t('b', 3, 5), { bias: t('bias', 3) }),
    'matmul: bias bias is 3, but 5 is needed',
  ],
  [
    'energy loss: logits',
    () => energyLoss(t('logits', 4, 10), t('labels', 2), { inCount: 2, outCount: 3 }, energy),
    'energy_loss: logits logits is 4x10, but 5x* is needed',
  ],
  [
    'energy loss: labels',
    () => energyLoss(t('logits', 5, 10), t('labels', 5), { inCount: 2, outCount: 3 }, energy),
    'energy_loss: labels labels is 5, but 2 is needed',
  ],
  [
    'loss statistics: rows',
    () => lossStatistics(t('rows', 4, 4), { inCount: 2, outCount: 3, lambda: 1 }, { ...state, log: t('log', 9, 8) }),
    'loss_statistics: rows rows is 4x4, but 5x4 is needed',
  ],
  [
    'loss statistics: log',
    () => lossStatistics(t('rows', 5, 4), { inCount: 2, outCount: 3, lambda: 1 }, { ...state, log: t('log', 9, 6) }),
    'loss_statistics: log log is 9x6, but *x8 is needed',
  ],
  [
    'loss statistics: step',
    () =>
      lossStatistics(
        t('rows', 5, 4),
        { inCount: 2, outCount: 3, lambda: 1 },
        { step: t('step', 2), halted, log: t('log', 9, 8) },
      ),
    'loss_statistics: step step is 2, but 4 is needed',
  ],
  [
    'loss statistics: halted',
    () =>
      lossStatistics(
        t('rows', 5, 4),
        { inCount: 2, outCount: 3, lambda: 1 },
        { step, halted: t('halted', 2), log: t('log', 9, 8) },
      ),
    'loss_statistics: halted halted is 2, but 1 is needed',
  ],
  [
    'sgd: gradient',
    () => sgd(t('w', 64), t('g', 32), t('v', 64), state, sgdOptions),
    'sgd: input g is 32, but 64 is needed',
  ],
  [
    'sgd: velocity',
    () => sgd(t('w', 64), t('g', 64), t('v', 63), state, sgdOptions),
    'sgd: input v is 63, but 64 is needed',
  ],
  [
    'sgd: step',
    () => sgd(t('w', 64), t('g', 64), t('v', 64), { step: t('step', 2), halted }, sgdOptions),
    'sgd: step step is 2, but 4 is needed',
  ],
  [
    'sgd: halted',
    () => sgd(t('w', 64), t('g', 64), t('v', 64), { step, halted: t('halted', 4) }, sgdOptions),
    'sgd: halted halted is 4, but 1 is needed',
  ],
  [
    'running statistics',
    () => updateRunningStatistics(t('r', 64), t('b', 32), state, { momentum: 0.1 }),
    'running_statistics: input b is 32, but 64 is needed',
  ],
  ['gather: indices', () => gather({ indices: [5, 1] }), 'gather_images: indices indices is 5x1, but * is needed'],
  ['gather: data', () => gather({ data: [767] }), 'gather_images: data data is 767, but 768 is needed'],
  ['gather: step', () => gather({ step: [2] }), 'gather_images: step step is 2, but 4 is needed'],
  ['pack: an input', () => pack([t('x', 3)], [0], 64), 'pack: x is not the output of an op'],
  [
    'view past the end',
    () => graph.view(t('base', 100), 'part', 64, [37]),
    'view part: 37 at element 64 does not lie, aligned to 64, in base of 100',
  ],
  [
    'view not aligned',
    () => graph.view(t('base', 100), 'part', 32, [3]),
    'view part: 3 at element 32 does not lie, aligned to 64, in base of 100',
  ],
  ['another graph', () => add(t('a', 2), new Graph().input('b', [2])), 'add: b belongs to another graph'],
  ['clip: the most', () => clip(t('x', 5), t('most', 5)), 'clip: most most is 5, but 1 is needed'],
  ['exponentials: rank', () => exponentials(t('l', 5), 1), 'exponentials: logits l is 5, but *x* is needed'],
  [
    'generalised entropy: rank',
    () => generalisedEntropy(t('l', 2, 3, 4), { gamma: 0.1, count: 2 }),
    'largest: operand l is 2x3x4, but *x* is needed',
  ],
  [
    'largest: those before',
    () => largest(t('x', 2, 9), 4, { previous: t('p', 2, 3) }),
    'largest: previous p is 2x3, but 2x4 is needed',
  ],
  ['prune: rank', () => prune(t('x', 5), 1), 'largest: operand x is 5, but *x* is needed'],
  ['row squares: rank', () => rowSquares(t('x', 5)), 'row_squares: operand x is 5, but *x* is needed'],
  ['unit rows: rank', () => unitRows(t('x', 5)), 'unit_rows: operand x is 5, but *x* is needed'],
];

it.each(REFUSALS)('%s', (_, build, message) => {
  expect(build).toThrow(ShapeError);
  expect(build).toThrow(EnergateError);
  expect(build).toThrow(new ShapeError(message));
});

it.each([
  ['not aligned', [0, 32]],
  ['overlapping', [0, 0]],
  ['past the end', [0, 128]],
])('pack: parts %s', (_, offsets) => {
  const parts = [relu(t('x', 10)), relu(t('x', 10))];
  expect(() => pack(parts, offsets, 128)).toThrow(
    `pack: ${parts[1]!.name} of 10 at element ${offsets[1]} is not aligned to 64, or overlaps the part before it or the end at 128`,
  );
});

it('an energy margin that is the wrong way round', () => {
  const build = () =>
    energyLoss(t('l', 2, 3), t('labels', 1), { inCount: 1, outCount: 1 }, { ...energy, mIn: -5, mOut: -5 });
  expect(build).toThrow(UsageError);
  expect(build).toThrow('m_in = -5 must be below m_out = -5');
});

it('a single margin that is no number', () => {
  const hinge = { kind: 'hinge', margin: Number.NaN, lambda: 0.1 } as const;
  const build = () => energyLoss(t('l', 2, 3), t('labels', 1), { inCount: 1, outCount: 1 }, hinge);
  expect(build).toThrow(UsageError);
  expect(build).toThrow('the margin is NaN; give a number of nats');
});

it('dropout of what is no probability', () => {
  const builds: readonly [number, (rate: number) => unknown][] = [
    [1, (rate) => dropout(t('x', 3), step, { rate })],
    [
      -1,
      (rate) =>
        batchNorm(
          t('x', 2, 3),
          { mean: t('mean', 3), variance: t('variance', 3) },
          { gamma: t('gamma', 3), beta: t('beta', 3) },
          { dropout: { rate, step } },
        ),
    ],
  ];
  for (const [rate, build] of builds) {
    expect(() => build(rate)).toThrow(UsageError);
    expect(() => build(rate)).toThrow(`dropout ${rate} is not a probability below 1`);
  }
});
