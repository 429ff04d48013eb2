import { describe, expect, it } from 'vitest';
import {
  type BatchNormFold,
  batchNormApply,
  batchNormApplyFixed,
  batchNormBackward,
  batchNormBackwardInput,
  batchNormBackwardPartials,
  batchNormChunks,
  batchNormFigures,
  batchNormMerge,
  batchNormMergeGradients,
  batchNormMostChunks,
  batchNormPartials,
  runningStatistics,
} from '../../src/kernels/batch-norm.js';
import * as reference from '../reference/batch-norm.js';
import { output, runKernel } from '../support/gpu.js';
import { expectClose, f64, noise } from '../support/numbers.js';
import { dropoutMask } from '../support/pcg.js';

/** Means of numbers near 1, and what is made of them. */
const TOLERANCE = 2e-6;

/** Numbers whose channels differ in mean and deviation. */
function activations(rows: number, channels: number, salt: number, mean = 0): Float32Array {
  return noise(rows * channels, salt).map(
    (value, i) => mean + (((i % channels) % 20) - 1) * 0.3 + value * (1 + (i % 3)),
  );
}

const SHAPES = [
  { rows: 1, channels: 3 },
  { rows: 1, channels: 16 },
  { rows: 4, channels: 1 },
  { rows: 35, channels: 5 },
  { rows: 64, channels: 16 },
  { rows: 130, channels: 3 },
  { rows: 1000, channels: 20 },
  // More vectors than a workgroup has lanes.
  { rows: 20, channels: 300 },
  // More rows than as many workgroups as a software adapter gets take at once.
  { rows: 1100, channels: 256 },
  // Of a GPU more chunks than a workgroup merges at once, each of more rows than its lanes read at once.
  { rows: 40_000, channels: 4 },
];

const PLAIN = { relu: false, dropout: 0 };
const STEP = Uint32Array.of(9, 77, 0, 2);

/** Partials and what is made of them, with given parameters; merged by a kernel of its own where `apart`. */
async function training(
  x: Float32Array,
  { gamma, beta }: { gamma: Float32Array; beta: Float32Array },
  fold: BatchNormFold,
  {
    apart = false,
    workgroupMemory = false,
    ...given
  }: { apart?: boolean; workgroupMemory?: boolean; chunks?: number } = {},
) {
  const chunks = given.chunks ?? batchNormChunks({ rows: x.length / gamma.length }, { workgroupMemory });
  const channels = gamma.length;
  const shape = { rows: x.length / channels, channels };
  return runKernel(
    {
      x,
      gamma,
      beta,
      step: STEP,
      partials: output(chunks * 3 * channels),
      y: output(x.length),
      mean: output(channels),
      unbiased: output(channels),
      figures: output(4 * channels),
    },
    (names) => [
      batchNormPartials(shape, names, { chunks, workgroupMemory }),
      ...(apart
        ? [batchNormMerge(shape, chunks, names), batchNormApplyFixed(shape, { ...fold, workgroupMemory }, names)]
        : [batchNormApply(shape, { ...fold, chunks, workgroupMemory }, names)]),
    ],
  );
}

describe.each(SHAPES)('batch norm of $rows rows of $channels channels', ({ rows, channels }) => {
  const shape = { rows, channels };
  const x = activations(rows, channels, 1);
  const gradient = noise(rows * channels, 2);
  const residual = noise(rows * channels, 3);
  const gamma = noise(channels, 4).map((value) => value + 1.5);
  const beta = noise(channels, 5);
  const affine = { gamma: f64(gamma), beta: f64(beta) };
  const batch = reference.batchNormStatistics(f64(x), channels);
  const deviation = batch.variance.map((v) => 1 / Math.sqrt(v + reference.EPSILON));
  const figures = [...batch.mean, ...deviation.map((d, c) => d * gamma[c]!), ...beta, ...deviation];

  // A software adapter adds up chunks of so many rows one after the other, to fewer digits.
  const ways = [{}, { apart: true }, { workgroupMemory: true }, { apart: true, workgroupMemory: true }].filter(
    ({ workgroupMemory }) => workgroupMemory || rows < 10_000,
  );
  it.each(ways)('takes the statistics, %j', async (way) => {
    const taken = await training(x, { gamma, beta }, PLAIN, way);
    // Of one row the variance is 0, and so must be what is found.
    expectClose(taken.mean, batch.mean, TOLERANCE, 'mean');
    const factor = rows > 1 ? rows / (rows - 1) : 1;
    expectClose(
      taken.unbiased,
      batch.variance.map((v) => v * factor),
      TOLERANCE,
      'unbiased variance',
    );
    expectClose(taken.figures, figures, TOLERANCE, 'figures');
  });

  const perElement = channels % 4 !== 0;
  describe.each([
    { what: 'alone', relu: false, dropout: 0 },
    { what: 'with ReLU', relu: true, dropout: 0 },
    { what: 'with ReLU and dropout', relu: true, dropout: 0.3 },
  ])('$what', ({ relu, dropout }) => {
    const fold = { relu, dropout };
    const mask = dropoutMask(x.length, { rate: dropout, stream: 2, step: 9, seed: 77, perElement });
    const masked = f64(gradient).map((value, i) => value * mask[i]!);
    const expected = reference.batchNormApply(f64(x), batch, affine, { relu }).map((value, i) => value * mask[i]!);

    it.each([false, true])('normalises, on a GPU %s', async (workgroupMemory) => {
      const { y } = await training(x, { gamma, beta }, fold, { workgroupMemory });
      expectClose(y, expected, TOLERANCE, 'y');
    });

    it('normalises with given statistics', async () => {
      const given = { mean: Float32Array.from(batch.mean), variance: Float32Array.from(batch.variance) };
      const { y, figures: made } = await runKernel(
        { x, ...given, gamma, beta, step: STEP, figures: output(4 * channels), y: output(x.length) },
        (names) => [batchNormFigures(channels, names), batchNormApplyFixed(shape, fold, names)],
      );
      expectClose(made, figures, TOLERANCE, 'figures');
      expectClose(y, expected, TOLERANCE, 'y');
    });

    const backward = (batchStatistics: boolean, { apart = false, workgroupMemory = false } = {}) => {
      const chunks = batchNormChunks(shape, { workgroupMemory });
      const kernel = { ...fold, batchStatistics, chunks, workgroupMemory };
      return runKernel(
        {
          x,
          gradient,
          residual,
          figures: Float32Array.from(figures),
          step: STEP,
          partials: output(chunks * 2 * channels),
          gammaGradient: output(channels),
          betaGradient: output(channels),
          y: output(x.length),
          sum: output(x.length),
          sums: output(2 * channels),
        },
        ({ y, sum, sums, residual, ...names }) => [
          batchNormBackwardPartials(shape, fold, names, { workgroupMemory }),
          ...(apart
            ? [
                batchNormMergeGradients(shape, chunks, { ...names, sums }),
                batchNormBackwardInput(shape, { ...fold, workgroupMemory }, { ...names, y, sums }),
                batchNormBackwardInput(shape, { ...fold, workgroupMemory }, { ...names, y: sum, residual, sums }),
              ]
            : [
                batchNormBackward(shape, kernel, { ...names, y }),
                batchNormBackward(shape, kernel, { ...names, y: sum, residual }),
              ]),
        ],
      );
    };

    it.each(ways)('gives the gradients through the batch statistics, %j', async (how) => {
      const result = await backward(true, how);
      const expected = reference.batchNormBackward(f64(x), masked, affine, { relu });
      expectClose(result.gammaGradient, expected.dgamma, TOLERANCE, 'dgamma');
      expectClose(result.betaGradient, expected.dbeta, TOLERANCE, 'dbeta');
      expectClose(result.y, expected.dx, 4 * TOLERANCE, 'dx');
      expectClose(
        result.sum,
        expected.dx.map((value, i) => value + residual[i]!),
        4 * TOLERANCE,
        'dx + residual',
      );
    });

    it('gives the gradient past statistics that do not depend on x', async () => {
      const result = await backward(false);
      const expected = masked.map((d, i) => {
        const c = i % channels;
        const scale = gamma[c]! / Math.sqrt(batch.variance[c]! + reference.EPSILON);
        const active = !relu || (x[i]! - batch.mean[c]!) * scale + beta[c]! > 0;
        return active ? d * scale : 0;
      });
      expectClose(result.y, expected, TOLERANCE, 'dx');
      // The same, where the parameters' gradients are not wanted.
      const alone = await runKernel(
        { x, gradient, residual, figures: Float32Array.from(figures), step: STEP, y: output(x.length) },
        (names) => batchNormBackwardInput(shape, fold, names),
      );
      expectClose(
        alone.y,
        expected.map((value, i) => value + residual[i]!),
        TOLERANCE,
        'dx + residual',
      );
    });
  });
});

it('keeps its precision where the mean is a thousand deviations', async () => {
  for (const [rows, channels] of [
    [3000, 4],
    [300, 5],
  ] as const) {
    const x = noise(rows * channels, 6).map((value) => 1000 + value);
    const batch = reference.batchNormStatistics(f64(x), channels);
    const ones = new Float32Array(channels).fill(1);
    const taken = await training(x, { gamma: ones, beta: ones }, PLAIN);
    expectClose(taken.mean, batch.mean, 1e-6, 'mean');
    // Float32 has 1000 to 6e-5; the difference of two means of squares would have the variance to a tenth.
    const unbiased = batch.variance.map((v) => (v * rows) / (rows - 1));
    expectClose(taken.unbiased, unbiased, 5e-5, 'variance');
  }
});

it('merges chunks of which the last are empty', async () => {
  // Of four chunks of two rows, five rows leave one with one row, and one with none.
  const x = activations(5, 4, 1, 10);
  const { mean, unbiased } = await training(x, { gamma: noise(4, 2), beta: noise(4, 3) }, PLAIN, { chunks: 4 });
  const batch = reference.batchNormStatistics(f64(x), 4);
  expectClose(mean, batch.mean, TOLERANCE, 'mean');
  expectClose(
    unbiased,
    batch.variance.map((v) => (v * 5) / 4),
    TOLERANCE,
    'unbiased variance',
  );
});

it.each([
  { workgroupMemory: false, most: 128 },
  { workgroupMemory: true, most: 1024 },
])('cuts any number of rows into at most $most chunks, none empty, %j', ({ most, ...traits }) => {
  for (const rows of [...Array.from({ length: 2000 }, (_, i) => i + 1), 98_304, 100_003, 393_216]) {
    const chunks = batchNormChunks({ rows }, traits);
    const rowsPerChunk = Math.ceil(rows / chunks);
    expect(chunks).toBeLessThanOrEqual(most);
    expect(chunks).toBeLessThanOrEqual(batchNormMostChunks({ rows }));
    expect(chunks * rowsPerChunk).toBeGreaterThanOrEqual(rows);
    expect((chunks - 1) * rowsPerChunk).toBeLessThan(rows);
  }
});

describe('running statistics', () => {
  const size = 67;
  const running = noise(size, 7);
  const batch = noise(size, 8);
  const update = (step: number, halted: number) =>
    runKernel(
      { batch, step: Uint32Array.of(step, 1), halted: Uint32Array.of(halted), running },
      (names) => runningStatistics({ size, momentum: reference.MOMENTUM }, names),
      2,
    );

  it('are averaged exponentially, two steps in a row', async () => {
    const expected = [1, 2].reduce(
      (old) => old.map((value, i) => (1 - reference.MOMENTUM) * value + reference.MOMENTUM * batch[i]!),
      f64(running),
    );
    expectClose((await update(3, 0xffffffff)).running, expected, 1e-6);
    expectClose((await update(3, 4)).running, expected, 1e-6);
  });

  it.each([3, 2])('in step 3 stay as they are once step %i halted', async (halted) => {
    expect((await update(3, halted)).running).toEqual(running);
  });
});
