import { describe, expect, it } from 'vitest';
import {
  energyLoss,
  LOG_FIELDS,
  LOG_WIDTH,
  lossStatistics,
  type Regulariser,
  rowEnergies,
} from '../../src/kernels/energy-loss.js';
import * as reference from '../reference/losses.js';
import { output, runKernel } from '../support/gpu.js';
import { expectClose, f64, noise } from '../support/numbers.js';

/** Sums of at most 1000 exponentials, and float32's exp and log. */
const TOLERANCE = 3e-6;

const NONE = 0xffffffff;

interface Batch {
  inCount: number;
  outCount: number;
  classes: number;
}

const labelsOf = ({ inCount, classes }: Batch) => Uint32Array.from({ length: inCount }, (_, n) => (n * 7) % classes);

function loss(
  batch: Batch & { workgroupMemory?: boolean; lossScale?: number },
  regulariser: Regulariser | undefined,
  logits: Float32Array,
  step = 1,
  capacity = 4,
) {
  const rows = batch.inCount + batch.outCount;
  const isHinge = regulariser?.kind === 'hinge';
  const statistics = { ...batch, lambda: regulariser?.lambda ?? 0, capacity };
  return runKernel(
    {
      logits,
      labels: labelsOf(batch),
      gradient: output(rows * batch.classes),
      rows: output(rows * 4),
      ...(isHinge && { energies: output(rows) }),
      step: Uint32Array.of(step, 1),
      log: new Float32Array(capacity * LOG_WIDTH).fill(-1),
      halted: Uint32Array.of(NONE),
    },
    (names) => [
      ...(isHinge ? [rowEnergies({ rows, classes: batch.classes }, names as typeof names & { energies: string })] : []),
      energyLoss(batch, regulariser, names, batch),
      lossStatistics(statistics, names),
    ],
  );
}

function expected(batch: Batch, regulariser: Regulariser | undefined, logits: Float32Array): reference.Loss {
  const labels = Array.from(labelsOf(batch));
  if (!regulariser) return reference.crossEntropy(f64(logits), labels, batch.classes);
  if (regulariser.kind === 'energy') return reference.energyHinge(f64(logits), labels, batch.classes, regulariser);
  if (regulariser.kind === 'hinge') return reference.pairHinge(f64(logits), labels, batch.classes, regulariser);
  return reference.outlierExposure(f64(logits), labels, batch.classes, regulariser);
}

const REGULARISERS: { what: string; regulariser?: Regulariser }[] = [
  { what: 'cross-entropy alone' },
  { what: 'energy, hinges active', regulariser: { kind: 'energy', mIn: -23, mOut: 5, lambda: 0.1 } },
  { what: 'energy, hinges inactive', regulariser: { kind: 'energy', mIn: 20, mOut: -25, lambda: 0.1 } },
  { what: 'energy, hinges active in part', regulariser: { kind: 'energy', mIn: -4, mOut: -3.5, lambda: 2 } },
  { what: 'one margin, all pairs too close', regulariser: { kind: 'hinge', margin: 20, lambda: 0.1 } },
  { what: 'one margin, some pairs too close', regulariser: { kind: 'hinge', margin: 0.5, lambda: 2 } },
  { what: 'one margin, inactive', regulariser: { kind: 'hinge', margin: -20, lambda: 0.1 } },
  { what: 'outlier exposure', regulariser: { kind: 'oe', lambda: 0.5 } },
];

describe.each(REGULARISERS)('loss of a mixed batch: $what', ({ what, regulariser }) => {
  it.each([
    { inCount: 1, outCount: 1, classes: 1 },
    { inCount: 65, outCount: 70, classes: 10 },
    { inCount: 5, outCount: 2, classes: 1000 },
    { inCount: 7, outCount: 0, classes: 3 },
    { inCount: 65, outCount: 70, classes: 10, workgroupMemory: true },
    { inCount: 5, outCount: 2, classes: 1000, workgroupMemory: true },
    { inCount: 2, outCount: 2, classes: 1050, workgroupMemory: true },
    { inCount: 7, outCount: 0, classes: 13, workgroupMemory: true },
    { inCount: 1, outCount: 1, classes: 4, workgroupMemory: true },
    { inCount: 3, outCount: 2, classes: 20, workgroupMemory: true },
  ])('$inCount in, $outCount out, $classes classes', async (batch) => {
    const logits = noise((batch.inCount + batch.outCount) * batch.classes, 1).map((value) => 3 * value);
    const { gradient, rows, log, halted } = await loss(batch, regulariser, logits);
    const wanted = expected(batch, regulariser, logits);
    expectClose(gradient, wanted.gradient, TOLERANCE, 'gradient');
    const figures = [wanted.loss, wanted.cross_entropy, wanted.regulariser, wanted.energy_in];
    expectClose(log.subarray(0, 4), figures, TOLERANCE, 'loss figures');
    // Of no outliers the reference's mean is NaN, and the log's is 0.
    expect(Math.abs(log[4]! - (batch.outCount ? wanted.energy_out : 0))).toBeLessThan(2e-5);

    const right = Array.from(labelsOf(batch), (label, n) => {
      const row = logits.subarray(n * batch.classes, (n + 1) * batch.classes);
      return row.indexOf(Math.max(...row)) === label ? 1 : 0;
    });
    expect(right.map((_, n) => rows[n * 4 + 3])).toEqual(right);
    expect(log[LOG_FIELDS.indexOf('accuracy')]).toBeCloseTo(
      right.reduce<number>((sum, r) => sum + r, 0) / batch.inCount,
      6,
    );
    expect(halted[0]).toBe(NONE);
  });

  it('has the activity its name says', () => {
    const batch = { inCount: 65, outCount: 70, classes: 10 };
    const logits = noise(135 * 10, 1).map((value) => 3 * value);
    const { regulariser: value } = expected(batch, regulariser, logits);
    if (what.includes('inactive') || !regulariser) expect(value).toBe(0);
    else expect(value).toBeGreaterThan(0.01);
  });

  it.each([false, true])('withstands logits of 1e4, through workgroup memory %s', async (workgroupMemory) => {
    // Of eleven classes each is a vector of its own: three for each of four lanes, but for the last.
    const classes = workgroupMemory ? 11 : 4;
    const batch = { inCount: 3, outCount: 3, classes, workgroupMemory };
    const rows = [
      [1e4, -1e4, 0, 1, -1e4],
      [-1e4, -1e4, -1e4, -1e4, -1e4],
      [1e4, 1e4, -1e4, 0, 3],
      [-1e4, 1e4, 2, 0, 1e4],
      [1e4, 1e4, 1e4, 1e4, 1e4],
      [-9999, -1e4, -1e4, -1e4, -1e4],
    ];
    const logits = Float32Array.from(
      rows.flatMap((row) => Array.from({ length: classes }, (_, k) => row[k % (classes > 4 ? 5 : 4)]!)),
    );
    const { gradient, log, halted } = await loss(batch, regulariser, logits);
    const wanted = expected(batch, regulariser, logits);
    // An energy of 1e4 has an error of 1e-3 in float32, and its softmax as large a relative one.
    expectClose(gradient, wanted.gradient, 1e-3, 'gradient');
    expectClose([log[0]!], [wanted.loss], 1e-6, 'loss');
    expect(halted[0]).toBe(NONE);
  });
});

it('scales the gradient alone by the loss scale', async () => {
  const batch = { inCount: 3, outCount: 2, classes: 10 };
  const regulariser: Regulariser = { kind: 'energy', mIn: -4, mOut: -3.5, lambda: 2 };
  const logits = noise(5 * 10, 1).map((value) => 3 * value);
  const [plain, scaled] = [
    await loss(batch, regulariser, logits),
    await loss({ ...batch, lossScale: 8 }, regulariser, logits),
  ];
  expect(scaled.gradient).toEqual(plain.gradient.map((value) => 8 * value));
  expect(scaled.rows).toEqual(plain.rows);
});

describe('statistics of a step', () => {
  const batch = { inCount: 3, outCount: 2, classes: 4 };
  const regulariser: Regulariser = { kind: 'energy', mIn: -23, mOut: -5, lambda: 0.1 };
  const logits = noise(5 * 4, 2);

  it.each([
    [1, 0],
    [4, 3],
    [5, 0],
    [11, 2],
  ])('step %i goes into row %i of a log of 4', async (step, row) => {
    const { log } = await loss(batch, regulariser, logits, step);
    const first = (await loss(batch, regulariser, logits)).log.subarray(0, 6);
    expect(log.subarray(row * LOG_WIDTH, row * LOG_WIDTH + 6)).toEqual(first);
    const others = log.filter((_, i) => Math.floor(i / LOG_WIDTH) !== row);
    expect(others).toEqual(new Float32Array(3 * LOG_WIDTH).fill(-1));
  });

  it.each([
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
  ])('%s halts at the step it came in', async (_, bad) => {
    const spoiled = logits.slice();
    spoiled[5] = bad;
    expect((await loss(batch, regulariser, spoiled, 12)).halted[0]).toBe(12);
    // An outlier's row counts as well.
    spoiled[5] = 0;
    spoiled[17] = bad;
    expect((await loss(batch, regulariser, spoiled, 13)).halted[0]).toBe(13);
  });

  it('a regulariser that overflows halts', async () => {
    const spoiled = logits.slice();
    spoiled[17] = 3e30;
    expect((await loss(batch, regulariser, spoiled, 14)).halted[0]).toBe(14);
  });

  it('a later step does not change when it halted', async () => {
    const rows = new Float32Array(5 * 4).fill(Number.NaN);
    const names = { rows, log: new Float32Array(LOG_WIDTH), halted: Uint32Array.of(12) };
    for (const [step, halted] of [
      [13, 12],
      [11, 11],
    ] as const) {
      const result = await runKernel({ ...names, step: Uint32Array.of(step, 1) }, (names) =>
        lossStatistics({ ...batch, lambda: 0.1, capacity: 1 }, names),
      );
      expect(result.halted[0]).toBe(halted);
    }
  });
});
