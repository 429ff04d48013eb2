import { describe, it } from 'vitest';
import type { ConvolutionOptions } from '../../src/kernels/conv2d.js';
import { matmul } from '../../src/kernels/matmul.js';
import { linear } from '../reference/layers.js';
import { LANES, output, runKernel } from '../support/gpu.js';
import { expectClose, f64, noise } from '../support/numbers.js';

/** Sums of at most 130 products of numbers below 1. */
const TOLERANCE = 1e-6;

function transpose(x: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(x, (_, i) => x[(i % rows) * columns + Math.floor(i / rows)]!);
}

interface Row extends ConvolutionOptions {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

describe.each<Row>([
  { m: 1, n: 1, k: 1 },
  { m: 3, n: 10, k: 64 },
  { m: 33, n: 31, k: 7, lanes: LANES[0] },
  { m: 32, n: 64, k: 130, lanes: LANES[0] },
  { m: 5, n: 67, k: 2 },
  { m: 5, n: 67, k: 2, lanes: LANES[0] },
  ...LANES.map((lanes) => ({ m: 70, n: 68, k: 20, lanes })),
  { m: 70, n: 68, k: 20, workgroupMemory: true },
  { m: 64, n: 96, k: 128, workgroupMemory: true },
])('$m x $k by $k x $n, by %o', ({ m, n, k, ...options }) => {
  const a = noise(m * k, 1);
  const b = noise(k * n, 2);
  const bias = noise(n, 3);
  // The reference takes b as [n, k].
  const expected = (bias: Float64Array) =>
    linear(f64(a), f64(transpose(b, k, n)), bias, { n: m, inputs: k, outputs: n });

  it.each([
    { transposeA: false, transposeB: false, biased: !options.workgroupMemory },
    { transposeA: false, transposeB: true, biased: false },
    { transposeA: true, transposeB: false, biased: false },
    { transposeA: true, transposeB: true, biased: true },
  ])('transposeA $transposeA, transposeB $transposeB, bias $biased', async ({ transposeA, transposeB, biased }) => {
    const shape = { m, n, k, transposeA, transposeB };
    const { y } = await runKernel(
      {
        a: transposeA ? transpose(a, m, k) : a,
        b: transposeB ? transpose(b, k, n) : b,
        bias,
        y: output(m * n),
      },
      ({ bias, ...names }) => matmul(shape, biased ? { ...names, bias } : names, options),
    );
    expectClose(y, expected(biased ? f64(bias) : new Float64Array(n)), TOLERANCE);
  });
});
