import { describe, expect, it } from 'vitest';
import {
  type Conv2dShape,
  type ConvolutionOptions,
  conv2dBackwardData,
  conv2dBackwardWeights,
  conv2dChunks,
  conv2dForward,
  conv2dMostChunks,
  conv2dOutput,
  conv2dReducesGradients,
  conv2dSplits,
  filterParts,
} from '../../src/kernels/conv2d.js';
import { sumLeading } from '../../src/kernels/reduce.js';
import { batchNormBackward, batchNormStatistics, EPSILON } from '../reference/batch-norm.js';
import * as reference from '../reference/convolution.js';
import { add } from '../reference/layers.js';
import { type Data, engine, LANES, output, runKernel } from '../support/gpu.js';
import { packHalves, roundToHalves, unpackHalves } from '../support/half.js';
import { expectClose, f64, noise } from '../support/numbers.js';
import { dropoutMask } from '../support/pcg.js';

/** Sums of at most 16 * 20 * 9 products of numbers below 1. */
const TOLERANCE = 1e-6;

type Row = readonly [n: number, h: number, w: number, cin: number, cout: number, kernel: number, stride: number];
/** With channel counts that are multiples of 4: computed through workgroup memory. */
const GPU_SHAPES: readonly Row[] = [
  [1, 1, 1, 16, 16, 3, 2],
  [5, 9, 8, 20, 16, 3, 1],
  [3, 7, 5, 16, 20, 3, 2],
  [2, 8, 8, 64, 32, 3, 1],
  [1, 7, 5, 16, 64, 1, 2],
  [1, 8, 7, 4, 8, 5, 3],
  [1, 9, 40, 32, 16, 3, 2],
  // Patches: of several workgroups an image, and of a row that is cut short.
  [2, 32, 32, 8, 32, 3, 1],
  [3, 16, 14, 4, 64, 3, 1],
  // Backward-weights in 7 parts, of which workgroups have 4, the last one shorter.
  [1, 41, 40, 16, 16, 3, 1],
];
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
  [1, 4, 24, 4, 4, 3, 3],
  // Two workgroups of each parity class, and more.
  [2, 20, 64, 4, 4, 3, 2],
  [5, 28, 3, 1, 3, 3, 1],
  // Beyond 64 KiB the filter is bound row by row.
  [1, 5, 4, 64, 32, 3, 1],
  [1, 7, 6, 64, 32, 3, 2],
  // A row beyond that: in a storage buffer.
  [1, 2, 2, 80, 80, 3, 1],
];

/** With channel counts that are multiples of 16: on matrix units. */
const MATRIX_SHAPES: readonly Row[] = [
  [1, 1, 1, 16, 16, 3, 2],
  [5, 9, 8, 32, 16, 3, 1],
  [3, 7, 5, 16, 48, 3, 2],
  [2, 8, 8, 64, 32, 3, 1],
  [1, 7, 5, 16, 64, 1, 2],
  [1, 9, 40, 32, 128, 3, 2],
  [1, 8, 7, 48, 16, 5, 3],
];

/** Of 8 and of 4 pixels an invocation, where subgroups have 4 lanes, and of the last subgroup's lanes not all in use. */
const QUAD_SHAPES: readonly Row[] = [
  [3, 17, 18, 8, 16, 3, 1],
  [5, 26, 17, 4, 24, 3, 2],
  [3, 23, 9, 3, 16, 3, 1],
  [3, 7, 5, 16, 20, 3, 2],
  [1, 7, 6, 64, 32, 3, 2],
  [1, 7, 5, 16, 32, 1, 2],
  [1, 8, 7, 4, 8, 5, 3],
];
/** Without exchange: classes without taps, of several workgroups; a filter bound row by row. */
const PLAIN_SHAPES: readonly Row[] = [
  ...SHAPES.slice(0, 5),
  [1, 7, 5, 16, 32, 1, 2],
  [1, 8, 7, 4, 8, 5, 3],
  [2, 20, 64, 4, 4, 3, 2],
  [1, 7, 6, 64, 32, 3, 2],
];

const GPU: ConvolutionOptions = { workgroupMemory: true };
const HALF: ConvolutionOptions = { ...GPU, float16: { input: true, output: true } };
const cases = [
  ...LANES.flatMap((lanes, i) =>
    [...(i === 0 ? SHAPES : []), ...(lanes === 4 ? QUAD_SHAPES : i > 0 ? PLAIN_SHAPES : [])].map((row) => ({
      row,
      options: { lanes, llvm: lanes === 4 ? undefined : engine.traits.llvm } as ConvolutionOptions,
      how: lanes === undefined ? '' : `exchanging in ${lanes} lanes, `,
    })),
  ),
  ...GPU_SHAPES.map((row) => ({ row, options: GPU, how: 'through workgroup memory, ' })),
  ...(engine.device.features.has('shader-f16')
    ? GPU_SHAPES.slice(0, 4).map((row) => ({ row, options: HALF, how: 'through workgroup memory, float16, ' }))
    : []),
  ...(engine.matrices
    ? MATRIX_SHAPES.map((row) => ({ row, options: { ...HALF, matrices: engine.matrices! }, how: 'on matrix units, ' }))
    : []),
].map(({ row: [n, h, w, cin, cout, kernel, stride], options, how }, i) => {
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
    options,
    name: `${how}${n}x${h}x${w}x${cin} by ${kernel}x${kernel} to ${cout}, stride ${stride}${i % 2 ? ', with a residual' : ''}`,
    shape,
    full,
    oh,
    ow,
    x: numbers(n * h * w * cin, 1, options),
    // Matrix units multiply float16.
    w: options.matrices
      ? roundToHalves(noise(kernel * kernel * cin * cout, 2))
      : noise(kernel * kernel * cin * cout, 2),
    dy: numbers(n * oh * ow * cout, 3, options),
    // Every other one, since each kernel takes a software adapter about a second to compile.
    residual: i % 2 === 1,
    reduces: i % 3 !== 0,
  };
});

/** Noise that is stored without rounding. */
function numbers(length: number, salt: number, { float16 }: ConvolutionOptions): Float32Array {
  return float16 ? roundToHalves(noise(length, salt)) : noise(length, salt);
}

const stored = (values: Float32Array, { float16 }: ConvolutionOptions) => (float16 ? packHalves(values) : values);
const storedOutput = (length: number, { float16 }: ConvolutionOptions) =>
  float16 ? new Uint32Array(output(length / 2).buffer) : output(length);
const read = (values: Data) => (values instanceof Uint32Array ? unpackHalves(values) : values);

/** What storing rounds off, besides. */
const rounding = ({ float16 }: ConvolutionOptions) => (float16 ? 2 ** -11 : 0);

/** A filter as buffers: one, or one a row of it. */
function filterBuffers(
  w: Float32Array,
  { kernel, inChannels, outChannels }: Conv2dShape,
  options: ConvolutionOptions = {},
): Record<string, Float32Array> {
  const { parts } = filterParts({ kernel, inChannels, outChannels }, options);
  const size = w.length / parts;
  return Object.fromEntries(
    Array.from({ length: parts }, (_, i) => [`w${i}`, w.slice(i * size, (i + 1) * size)] as const),
  );
}

/** The names of those buffers, in order. */
const filterNames = (names: Record<string, string>) =>
  ['w0', 'w1', 'w2'].filter((name) => name in names).map((name) => names[name]!);

describe.each(cases)('convolution of $name', ({ options, shape, full, oh, ow, x, w, dy, residual, reduces }) => {
  it('forward', async () => {
    expect(conv2dOutput(shape)).toEqual({ height: oh, width: ow });
    const addend = numbers(dy.length, 4, options);
    const chunks = conv2dChunks(shape, options).forward;
    const { y, partials } = await runKernel(
      {
        x: stored(x, options),
        ...filterBuffers(w, shape, options),
        addend: stored(addend, options),
        y: storedOutput(dy.length, options),
        partials: output(chunks * 3 * full.cout),
      },
      ({ x, y, addend, partials, ...rest }) =>
        conv2dForward(
          shape,
          {
            x,
            y,
            w: filterNames(rest),
            residual: residual ? addend : undefined,
            partials: reduces ? partials : undefined,
          },
          options,
        ),
    );
    const plain = reference.conv2d(f64(x), f64(w), full);
    const expected = residual ? add(plain, f64(addend)) : plain;
    expectClose(read(y), expected, TOLERANCE + rounding(options));
    if (!reduces) return;
    const statistics = batchNormStatistics(expected, full.cout);
    const counts = Array.from({ length: chunks }, (_, k) => partials[(3 * k + 2) * full.cout]!);
    const rows = expected.length / full.cout;
    expect(counts.reduce((sum, n) => sum + n, 0)).toBe(rows);
    // Of all chunks: the mean of their means, and their own squares and those of their means' deviations.
    const over = (of: (k: number, c: number) => number) =>
      Float64Array.from({ length: full.cout }, (_, c) => counts.reduce((sum, _, k) => sum + of(k, c), 0) / rows);
    const at = (k: number, row: number, c: number) => partials[(3 * k + row) * full.cout + c]!;
    const mean = over((k, c) => counts[k]! * at(k, 0, c));
    expectClose(mean, statistics.mean, 4 * TOLERANCE, 'mean');
    const variance = over((k, c) => at(k, 1, c) + counts[k]! * (at(k, 0, c) - mean[c]!) ** 2);
    expectClose(variance, statistics.variance, 4 * TOLERANCE, 'variance');
  });

  it('backward-data', async () => {
    const addend = numbers(x.length, 5, options);
    const channels = full.cin;
    const chunks = conv2dChunks(shape, options).backward;
    const reduced = reduces && conv2dReducesGradients(shape);
    const before = numbers(x.length, 6, options);
    const batch = batchNormStatistics(f64(before), channels);
    const deviation = batch.variance.map((v) => 1 / Math.sqrt(v + EPSILON));
    const affine = { gamma: f64(noise(channels, 7)), beta: f64(noise(channels, 8)) };
    const figures = [...batch.mean, ...affine.gamma.map((g, c) => g * deviation[c]!), ...affine.beta, ...deviation];
    const fold = { relu: true, dropout: residual ? 0.3 : 0 };
    const { y, partials } = await runKernel(
      {
        gradient: stored(dy, options),
        ...filterBuffers(w, shape, options),
        addend: stored(addend, options),
        y: storedOutput(x.length, options),
        partials: output(chunks * 2 * channels),
        before: stored(before, options),
        figures: Float32Array.from(figures),
        step: Uint32Array.of(9, 77, 0, 3),
      },
      ({ gradient, y, addend, partials, before, figures, step, ...rest }) =>
        conv2dBackwardData(
          shape,
          {
            gradient,
            y,
            w: filterNames(rest),
            residual: residual ? addend : undefined,
            reduction: reduced ? { partials, batchNorm: { x: before, figures, step, fold } } : undefined,
          },
          options,
        ),
    );
    const plain = reference.conv2dBackwardData(f64(dy), f64(w), full);
    const expected = residual ? add(plain, f64(addend)) : plain;
    expectClose(read(y), expected, TOLERANCE + rounding(options));
    if (!reduced) return;
    const mask = dropoutMask(x.length, { rate: fold.dropout, stream: 3, step: 9, seed: 77, perElement: false });
    const masked = expected.map((value, i) => value * mask[i]!);
    const { dgamma, dbeta } = batchNormBackward(f64(before), masked, affine, { relu: true });
    const sum = (row: number) =>
      Float64Array.from({ length: channels }, (_, c) =>
        Array.from({ length: chunks }, (_, k) => partials[(2 * k + row) * channels + c]!).reduce((a, b) => a + b, 0),
      );
    const size = expected.reduce((a, v) => a + Math.abs(v), 0) / channels;
    // A sum may be near 0: what counts is the size of its summands.
    const error = (actual: Float64Array, wanted: Float64Array) =>
      Math.max(...actual.map((value, c) => Math.abs(value - wanted[c]!)));
    expect(error(sum(0), dbeta)).toBeLessThanOrEqual(4 * TOLERANCE * size);
    expect(error(sum(1), dgamma)).toBeLessThanOrEqual(8 * TOLERANCE * size);
  });

  it('backward-weights', async () => {
    const count = conv2dSplits(shape, options);
    const { y } = await runKernel(
      {
        x: stored(x, options),
        gradient: stored(dy, options),
        partials: output(count * w.length),
        y: output(w.length),
      },
      ({ x, gradient, partials, y }) => [
        conv2dBackwardWeights(shape, { x, gradient, partials }, options),
        sumLeading({ count, size: w.length }, { x: partials, y }),
      ],
    );
    expectClose(y, reference.conv2dBackwardWeights(f64(x), f64(dy), full), TOLERANCE, 'dw');
  });
});

it('cuts the sum of backward-weights into at most 64 parts, none empty', () => {
  for (let batch = 1; batch < 200; batch += 7) {
    for (const inHeight of [1, 5, 32]) {
      for (const channels of [4, 64, 128]) {
        const shape = {
          batch,
          inHeight,
          inWidth: 4,
          inChannels: channels,
          outChannels: channels,
          kernel: 3,
          stride: 1,
        };
        const rows = batch * inHeight;
        const splits = conv2dSplits(shape);
        expect(splits).toBeLessThanOrEqual(64);
        expect((splits - 1) * Math.ceil(rows / splits)).toBeLessThan(rows);
      }
    }
  }
});

it('has no more chunks on any device than on the one with most', () => {
  const ways: ConvolutionOptions[] = [
    {},
    { lanes: 8 },
    { lanes: 4 },
    GPU,
    HALF,
    { ...HALF, matrices: { height: 16, width: 16, terms: 16, lanes: 32 } },
  ];
  for (const batch of [1, 3, 12, 96, 384]) {
    for (const inHeight of [1, 5, 8, 32]) {
      for (const [inChannels, outChannels, stride] of [
        [3, 16, 1],
        [16, 16, 1],
        [64, 128, 2],
      ] as const) {
        const shape = { batch, inHeight, inWidth: inHeight + 2, inChannels, outChannels, kernel: 3, stride };
        const most = conv2dMostChunks(shape);
        for (const way of ways) {
          const { forward, backward } = conv2dChunks(shape, way);
          expect(forward).toBeLessThanOrEqual(most.forward);
          expect(backward).toBeLessThanOrEqual(most.backward);
        }
      }
    }
  }
});

it('stores no more filters for backward-weights than keep a software adapter busy', () => {
  const shape = { batch: 96, inHeight: 8, inWidth: 8, inChannels: 128, outChannels: 128, kernel: 3, stride: 1 };
  const [x, y, z] = conv2dBackwardWeights(shape, { x: 'x', gradient: 'gradient', partials: 'partials' }).workgroups;
  expect(x * y * z).toBeGreaterThanOrEqual(32);
  expect(conv2dSplits(shape)).toBeLessThanOrEqual(4);
});
