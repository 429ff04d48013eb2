import { describe, expect, it } from 'vitest';
import {
  type Conv2dShape,
  conv2dBackwardData,
  conv2dBackwardWeights,
  conv2dForward,
  conv2dOutput,
  conv2dSplits,
  filterParts,
  transposeFilter,
} from '../../src/kernels/conv2d.js';
import { sumLeading } from '../../src/kernels/reduce.js';
import * as reference from '../reference/convolution.js';
import { add } from '../reference/layers.js';
import { output, runKernel } from '../support/gpu.js';
import { expectClose, f64, noise } from '../support/numbers.js';

/** Sums of at most 16 * 20 * 9 products of numbers below 1. */
const TOLERANCE = 1e-6;

type Row = readonly [n: number, h: number, w: number, cin: number, cout: number, kernel: number, stride: number];
const SHAPES: readonly Row[] = [
  [1, 1, 1, 1, 1, 1, 1],
  [1, 1, 1, 16, 16, 3, 2],
  [1, 1, 1, 3, 4, 3, 1],
  [3, 7, 5, 3, 16, 3, 1],
  [5, 9, 8, 20, 16, 3, 1],
  [3, 7, 5, 16, 20, 3, 2],
  [1, 8, 8, 4, 5, 3, 2],
  [3, 8, 8, 5, 4, 3, 2],
  [1, 7, 5, 16, 32, 1, 2],
  [2, 5, 7, 20, 4, 1, 1],
  [1, 8, 7, 4, 8, 5, 3],
  [5, 28, 3, 1, 3, 3, 1],
  // Beyond 64 KiB the filter is bound row by row.
  [1, 5, 4, 64, 32, 3, 1],
  [1, 7, 6, 64, 32, 3, 2],
  // A row beyond that: in a storage buffer.
  [1, 2, 2, 80, 80, 3, 1],
];

const cases = SHAPES.map(([n, h, w, cin, cout, kernel, stride], i) => {
  const shape: Conv2dShape = {
    batch: n,
    inHeight: h,
    inWidth: w,
    inChannels: cin,
    outChannels: cout,
    kernel,
    stride,
  };
  const full = { n, h, w, cin, cout, kh: kernel, kw: kernel, stride, pad: (kernel - 1) / 2 };
  const { oh, ow } = reference.outputSize(full);
  return {
    name: `${n}x${h}x${w}x${cin} by ${kernel}x${kernel} to ${cout}, stride ${stride}${i % 2 ? ', with a residual' : ''}`,
    shape,
    full,
    oh,
    ow,
    x: noise(n * h * w * cin, 1),
    w: noise(kernel * kernel * cin * cout, 2),
    dy: noise(n * oh * ow * cout, 3),
    // Every other one, since each kernel takes a software adapter about a second to compile.
    residual: i % 2 === 1,
  };
});

/** A filter as buffers: one, or one a row of it. */
function filterBuffers(
  w: Float32Array,
  { kernel, inChannels, outChannels }: Conv2dShape,
): Record<string, Float32Array> {
  const { parts } = filterParts({ kernel, inChannels, outChannels });
  const size = w.length / parts;
  return Object.fromEntries(
    Array.from({ length: parts }, (_, i) => [`w${i}`, w.slice(i * size, (i + 1) * size)] as const),
  );
}

/** The names of those buffers, in order. */
const filterNames = (names: Record<string, string>) =>
  ['w0', 'w1', 'w2'].filter((name) => name in names).map((name) => names[name]!);

/** w [taps, cin, cout] with its channels swapped. */
function swapChannels(w: Float32Array, { inChannels, outChannels }: Conv2dShape): Float32Array {
  return Float32Array.from(w, (_, i) => {
    const ci = i % inChannels;
    const co = Math.floor(i / inChannels) % outChannels;
    const tap = Math.floor(i / (inChannels * outChannels));
    return w[(tap * inChannels + ci) * outChannels + co]!;
  });
}

describe.each(cases)('convolution of $name', ({ shape, full, oh, ow, x, w, dy, residual }) => {
  it('forward', async () => {
    expect(conv2dOutput(shape)).toEqual({ height: oh, width: ow });
    const addend = noise(dy.length, 4);
    const { y } = await runKernel(
      { x, ...filterBuffers(w, shape), addend, y: output(dy.length) },
      ({ x, y, addend, ...rest }) =>
        conv2dForward(shape, { x, y, w: filterNames(rest), residual: residual ? addend : undefined }),
    );
    const expected = reference.conv2d(f64(x), f64(w), full);
    expectClose(y, residual ? add(expected, f64(addend)) : expected, TOLERANCE);
  });

  it('backward-data', async () => {
    const addend = noise(x.length, 5);
    const { y } = await runKernel(
      {
        gradient: dy,
        ...filterBuffers(swapChannels(w, shape), {
          ...shape,
          inChannels: shape.outChannels,
          outChannels: shape.inChannels,
        }),
        addend,
        y: output(x.length),
      },
      ({ gradient, y, addend, ...rest }) =>
        conv2dBackwardData(shape, { gradient, y, w: filterNames(rest), residual: residual ? addend : undefined }),
    );
    const expected = reference.conv2dBackwardData(f64(dy), f64(w), full);
    expectClose(y, residual ? add(expected, f64(addend)) : expected, TOLERANCE);
  });

  it('backward-weights', async () => {
    const count = conv2dSplits(shape);
    const { y } = await runKernel(
      { x, gradient: dy, partials: output(count * w.length), y: output(w.length) },
      ({ x, gradient, partials, y }) => [
        conv2dBackwardWeights(shape, { x, gradient, partials }),
        sumLeading({ count, size: w.length }, { x: partials, y }),
      ],
    );
    expectClose(y, reference.conv2dBackwardWeights(f64(x), f64(dy), full), TOLERANCE, 'dw');
  });

  it('the filter transposes', async () => {
    const { kernel, inChannels, outChannels } = shape;
    const { y } = await runKernel({ x: w, y: output(w.length) }, ({ x, y }) =>
      transposeFilter({ taps: kernel ** 2, inChannels, outChannels }, { x, y }),
    );
    expect(y).toEqual(swapChannels(w, shape));
  });
});

it('cuts the sum of backward-weights into at most 64 parts, none empty', () => {
  for (let batch = 1; batch < 200; batch += 7) {
    for (const inHeight of [1, 5, 32]) {
      const shape = { batch, inHeight, inWidth: 4, inChannels: 4, outChannels: 4, kernel: 3, stride: 1 };
      const rows = batch * inHeight;
      const splits = conv2dSplits(shape);
      expect(splits).toBeLessThanOrEqual(64);
      expect((splits - 1) * Math.ceil(rows / splits)).toBeLessThan(rows);
    }
  }
});
