import { describe, expect, it } from 'vitest';
import { exponentials, generalisedEntropy, largest, prune, rowSquares, unitRows } from '../../src/kernels/rows.js';
import * as reference from '../reference/rows.js';
import { output, runKernel } from '../support/gpu.js';
import { expectClose, noise } from '../support/numbers.js';

/** Every number is within `tolerance` of its own size. */
function expectEachClose(actual: ArrayLike<number>, expected: readonly number[], tolerance: number): void {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((value, i) => {
    expect(Math.abs(actual[i]! - value), `number ${i}, ${actual[i]} for ${value}`).toBeLessThanOrEqual(
      tolerance * Math.abs(value),
    );
  });
}

/** An exponential of x has a relative error of (3 + 2|x|) 2^-24 by WGSL; these logits are less than 24 apart. */
const EXPONENTIAL = 4e-6;

describe.each([
  { rows: 1, columns: 2 },
  { rows: 70, columns: 10 },
  { rows: 3, columns: 101 },
])('the exponentials of $rows rows of $columns logits', ({ rows, columns }) => {
  const logits = noise(rows * columns, 1).map((value) => 12 * value);

  it.each([1, 0.5, 10, 1000, 1e6])('keep their digits at T = %f', async (temperature) => {
    const { y } = await runKernel({ logits, y: output(rows * 3) }, (names) =>
      exponentials({ rows, columns, temperature }, names),
    );
    const expected = reference.exponentials(logits, columns, temperature);
    // At T = 0.5 the exponents go to 48.
    expectEachClose(y, expected, temperature < 1 ? 2 * EXPONENTIAL : EXPONENTIAL);
  });
});

it('the exponentials keep what softmax loses: others of 1e-9 and of none, equals, large logits', async () => {
  const logits = Float32Array.of(0, 21, 0, 200, 0, -200, 5, 5, 5, 1e4, 1e4, -1e4);
  const { y } = await runKernel({ logits, y: output(12) }, (names) =>
    exponentials({ rows: 4, columns: 3, temperature: 1 }, names),
  );
  const expected = reference.exponentials(logits, 3, 1);
  expectEachClose(y.subarray(0, 3), expected.slice(0, 3), EXPONENTIAL);
  expect([...y.subarray(3)]).toEqual([200, 0, -2, 5, 2, 0, 1e4, 1, -1]);
});

describe.each([
  { rows: 1, columns: 2, count: 2 },
  { rows: 66, columns: 10, count: 10 },
  { rows: 5, columns: 130, count: 100 },
])('the generalised entropy of the $count largest of $columns probabilities', ({ rows, columns, count }) => {
  it.each([1, 12, 40])('of logits up to %f', async (scale) => {
    const logits = noise(rows * columns, 2).map((value) => scale * value);
    const top = Float32Array.from(reference.sorted(logits, columns).flatMap((row) => row.slice(0, count).reverse()));
    const { y } = await runKernel({ logits, top, y: output(rows) }, (names) =>
      generalisedEntropy({ rows, columns, count, gamma: 0.1 }, names),
    );
    expectEachClose(y, reference.generalisedEntropy(logits, { classes: columns, count, gamma: 0.1 }), 5e-6);
  });
});

it('the generalised entropy of a probability of 1 - 1e-43: its power is not 0', async () => {
  const logits = Float32Array.of(0, 100, -3);
  const { y } = await runKernel({ logits, top: Float32Array.of(-3, 0, 100), y: output(1) }, (names) =>
    generalisedEntropy({ rows: 1, columns: 3, count: 3, gamma: 0.1 }, names),
  );
  expectEachClose(y, reference.generalisedEntropy(logits, { classes: 3, count: 3, gamma: 0.1 }), 5e-6);
});

describe.each([
  { rows: 1, columns: 1, count: 1 },
  { rows: 65, columns: 13, count: 2 },
  { rows: 3, columns: 300, count: 50 },
])('the $count largest of $columns', ({ rows, columns, count }) => {
  // Rounded, so that some are equal.
  const x = noise(rows * columns, 3).map((value) => Math.round(value * 64) / 64);
  const sorted = reference.sorted(x, columns).map((row) => row.slice(0, count).reverse());

  it('in ascending order', async () => {
    const { y } = await runKernel({ x, y: output(rows * count) }, ({ x, y }) =>
      largest({ rows, columns, stride: columns, count, stored: count }, { x, y }),
    );
    expect([...y]).toEqual(sorted.flat());
  });

  it('found in two parts with columns that are not looked at, of which the least is stored', async () => {
    const [first, stride] = [Math.ceil(columns / 2), columns + 3];
    const part = (from: number, to: number) =>
      Float32Array.from({ length: rows * stride }, (_, at) => {
        const [n, i] = [Math.floor(at / stride), at % stride];
        return from + i < to ? x[n * columns + from + i]! : 9;
      });
    const buffers = { a: part(0, first), b: part(first, columns), previous: output(rows * count), y: output(rows) };
    const shape = { rows, stride, count };
    const { y } = await runKernel(buffers, ({ a, b, previous, y }) => [
      largest({ ...shape, columns: first, stored: count }, { x: a, y: previous }),
      largest({ ...shape, columns: columns - first, stored: 1 }, { x: b, previous, y }),
    ]);
    expect([...y]).toEqual(sorted.map(([least]) => least));
  });
});

describe.each([
  { rows: 1, columns: 2, kept: 1 },
  { rows: 65, columns: 13, kept: 4 },
  { rows: 3, columns: 128, kept: 13 },
])('activation shaping, $kept of $columns', ({ rows, columns, kept }) => {
  it.each([
    ['', 0],
    [', where some equal the least that stays', 8],
  ])('scales what stays%s', async (_, steps) => {
    const x = noise(rows * columns, 4).map((value) => (steps ? Math.round((value + 1) * steps) / steps : value + 1));
    // One row has nothing above 0.
    x.fill(0, 0, columns);
    const top = Float32Array.from(reference.sorted(x, columns).flatMap((row) => row.slice(0, kept).reverse()));
    const { y } = await runKernel({ x, top, y: output(x.length) }, (names) => prune({ rows, columns, kept }, names));
    const expected = reference.prune(x, columns, kept);
    // exp of up to 10.
    expectEachClose(y, expected, EXPONENTIAL);
  });
});

describe.each([
  { rows: 1, columns: 1 },
  { rows: 65, columns: 130 },
])('of $rows rows of $columns', ({ rows, columns }) => {
  const x = noise(rows * columns, 5);
  if (rows > 1) x.fill(0, columns, 2 * columns);

  it('squared lengths', async () => {
    const { y } = await runKernel({ x, y: output(rows) }, (names) => rowSquares({ rows, columns }, names));
    expectClose(y, reference.squares(x, columns), 1e-6);
  });

  it('the same of length 1, but zeros', async () => {
    const { y } = await runKernel({ x, y: output(x.length) }, (names) => unitRows({ rows, columns }, names));
    expectClose(y, reference.unit(x, columns), 1e-6);
  });
});
