import { describe, expect, it } from 'vitest';
import { globalAveragePool, globalAveragePoolBackward, sumLeading } from '../../src/kernels/reduce.js';
import * as reference from '../reference/layers.js';
import { output, runKernel } from '../support/gpu.js';
import { expectClose, f64, noise } from '../support/numbers.js';

/** Sums of at most 300 numbers below 1. */
const TOLERANCE = 1e-6;

it.each([
  [1, 1, {}],
  [3, 65, {}],
  [300, 7, {}],
  [31, 8, { workgroupMemory: true }],
  [32, 8, { workgroupMemory: true }],
  [300, 7, { workgroupMemory: true }],
  [65, 260, { workgroupMemory: true }],
])('sums %i arrays of %i elements, %j', async (count, size, traits) => {
  const x = noise(count * size, 1);
  const { y } = await runKernel({ x, y: output(size) }, ({ x, y }) => sumLeading({ count, size }, { x, y }, traits));
  const expected = new Float64Array(size);
  x.forEach((value, i) => {
    expected[i % size] += value;
  });
  expectClose(y, expected, TOLERANCE);
});

it('sums any number of elements in as many workgroups as every device has', () => {
  for (const size of [1, 4_681_000, 40_000_000]) {
    const { workgroups } = sumLeading({ count: 32, size }, { x: 'x', y: 'y' }, { workgroupMemory: true });
    for (const count of workgroups) expect(count).toBeLessThanOrEqual(65535);
  }
});

describe.each([
  { n: 1, h: 1, w: 1, c: 1 },
  { n: 3, h: 7, w: 5, c: 3 },
  { n: 5, h: 8, w: 8, c: 16 },
  { n: 1, h: 3, w: 2, c: 130 },
])('global average pool of $n x $h x $w x $c', (shape) => {
  const { n, h, w, c } = shape;
  const pool = { batch: n, positions: h * w, channels: c };
  const x = noise(n * h * w * c, 2);
  const dy = noise(n * c, 3);

  it('forward', async () => {
    const { y } = await runKernel({ x, y: output(dy.length) }, ({ x, y }) => globalAveragePool(pool, { x, y }));
    expectClose(y, reference.globalAveragePool(f64(x), shape), TOLERANCE);
  });

  it('backward', async () => {
    const { y } = await runKernel({ gradient: dy, y: output(x.length) }, ({ gradient, y }) =>
      globalAveragePoolBackward(pool, { gradient, y }),
    );
    expectClose(y, reference.globalAveragePoolBackward(f64(dy), shape), TOLERANCE);
    expect(y).toHaveLength(n * h * w * c);
  });
});
