import { describe, expect, it } from 'vitest';
import {
  type Conv2dShape,
  conv2dBackwardData,
  conv2dBackwardWeights,
  conv2dChunks,
  conv2dForward,
  conv2dSplits,
} from '../../src/kernels/conv2d.js';
import { type Dispatch, specialise } from '../../src/kernels/dispatch.js';
import { add } from '../../src/kernels/elementwise.js';
import { matmul } from '../../src/kernels/matmul.js';
import { demandsOf, memoryBytes } from '../../src/kernels/side-by-side.js';
import { tile, tilesFor } from '../../src/kernels/tiles.js';
import { type Data, engine, LANES, output, runKernel } from '../support/gpu.js';
import { packHalves } from '../support/half.js';
import { noise } from '../support/numbers.js';

const SHAPE: Conv2dShape = {
  batch: 2,
  inHeight: 5,
  inWidth: 11,
  inChannels: 16,
  outChannels: 16,
  kernel: 3,
  stride: 1,
};
const SIZE = 2 * 5 * 11 * 16;
const [x, dy, w] = [noise(SIZE, 1), noise(SIZE, 2), noise(9 * 16 * 16, 3)];
const GPU = { workgroupMemory: true };
/** As the adapter exchanges, where it does. */
const EXCHANGE = engine.traits.workgroupMemory ? {} : engine.traits;
const QUADS = { lanes: 4 };
const LONG: Conv2dShape = { ...SHAPE, batch: 1, inHeight: 41, inWidth: 16, inChannels: 4, outChannels: 8, kernel: 1 };
/** Of which a workgroup of a GPU has a patch under all taps. */
const PATCHED: Conv2dShape = { ...SHAPE, inHeight: 16, inWidth: 16, inChannels: 8, outChannels: 32 };
const strided = { ...SHAPE, stride: 2 };
const stridedSize = 2 * 3 * 6 * 16;

const { matrices } = engine;
const MATRICES = { ...GPU, float16: { input: true, output: true }, matrices };
const WIDE: Conv2dShape = { ...SHAPE, inChannels: 32, outChannels: 64 };
/** Of more filter rows than one tile has. */
const LONG_WIDE: Conv2dShape = { ...LONG, kernel: 3, inChannels: 32, outChannels: 32 };
const half = (size: number, salt: number) => packHalves(noise(size, salt));
const halfOutput = (size: number) => new Uint32Array(output(size / 2).buffer);

/** A kernel, and buffers of which it writes the NaN ones. */
interface Case {
  readonly name: string;
  readonly buffers: Record<string, Data>;
  readonly kernel: (b: Record<string, string>) => Dispatch<string>;
}

const reducing = (outChannels: number): Conv2dShape => ({ ...WIDE, outChannels });
/** Channels of which this device's matrix units leave a choice where they reduce. */
const REDUCING =
  [16, 32, 48, 64].find((channels) => {
    const buffers = { x: 'x', w: ['w'], y: 'y', partials: 'p' };
    return tilesFor(conv2dForward(reducing(channels), buffers, MATRICES)).length > 1;
  }) ?? 64;

const MATRIX_CASES: readonly Case[] = [
  {
    name: 'convolution on matrix units that reduces',
    buffers: {
      x: half(SIZE * 2, 1),
      w: noise(9 * 32 * REDUCING, 3),
      y: halfOutput((SIZE / 16) * REDUCING),
      partials: output(conv2dChunks(reducing(REDUCING), MATRICES).forward * 3 * REDUCING),
    },
    kernel: (b) => conv2dForward(reducing(REDUCING), { x: b.x!, w: [b.w!], y: b.y!, partials: b.partials }, MATRICES),
  },
  {
    name: 'backward-data of stride 2 on matrix units',
    buffers: { dy: half(stridedSize * 2, 2), w: noise(9 * 32 * 32, 3), y: halfOutput(SIZE * 2) },
    kernel: (b) =>
      conv2dBackwardData(
        { ...strided, inChannels: 32, outChannels: 32 },
        { gradient: b.dy!, w: [b.w!], y: b.y! },
        MATRICES,
      ),
  },
  {
    name: 'backward-weights on matrix units, in parts',
    buffers: {
      x: half(41 * 16 * 32, 1),
      dy: half(41 * 16 * 32, 2),
      y: output(conv2dSplits(LONG_WIDE, MATRICES) * 9 * 32 * 32),
    },
    kernel: (b) => conv2dBackwardWeights(LONG_WIDE, { x: b.x!, gradient: b.dy!, partials: b.y! }, MATRICES),
  },
];

const CASES: readonly Case[] = [
  {
    name: 'convolution',
    buffers: { x, w, y: output(SIZE) },
    kernel: (b) => conv2dForward(SHAPE, { x: b.x!, w: [b.w!], y: b.y! }, EXCHANGE),
  },
  {
    name: 'convolution that reduces',
    buffers: { x, w, y: output(SIZE), partials: output(conv2dChunks(SHAPE, EXCHANGE).forward * 3 * 16) },
    kernel: (b) => conv2dForward(SHAPE, { x: b.x!, w: [b.w!], y: b.y!, partials: b.partials }, EXCHANGE),
  },
  {
    name: 'convolution of stride 2',
    buffers: { x, w, y: output(stridedSize) },
    kernel: (b) => conv2dForward(strided, { x: b.x!, w: [b.w!], y: b.y! }, EXCHANGE),
  },
  {
    name: 'backward-data of stride 2',
    buffers: { dy: dy.subarray(0, stridedSize), w, y: output(SIZE) },
    kernel: (b) => conv2dBackwardData(strided, { gradient: b.dy!, w: [b.w!], y: b.y! }, EXCHANGE),
  },
  {
    name: 'backward-weights',
    buffers: { x, dy, y: output(conv2dSplits(SHAPE, EXCHANGE) * w.length) },
    kernel: (b) => conv2dBackwardWeights(SHAPE, { x: b.x!, gradient: b.dy!, partials: b.y! }, EXCHANGE),
  },
  ...(LANES.includes(4)
    ? [
        {
          name: 'convolution that exchanges in 4 lanes',
          buffers: { x, w, y: output(SIZE) },
          kernel: (b: Record<string, string>) => conv2dForward(SHAPE, { x: b.x!, w: [b.w!], y: b.y! }, QUADS),
        },
      ]
    : []),
  {
    name: 'convolution through workgroup memory',
    buffers: { x, w, y: output(SIZE) },
    kernel: (b) => conv2dForward(SHAPE, { x: b.x!, w: [b.w!], y: b.y! }, GPU),
  },
  {
    name: 'convolution through workgroup memory that reduces',
    buffers: { x, w, y: output(SIZE), partials: output(conv2dChunks(SHAPE, GPU).forward * 3 * 16) },
    kernel: (b) => conv2dForward(SHAPE, { x: b.x!, w: [b.w!], y: b.y!, partials: b.partials }, GPU),
  },
  {
    name: 'convolution of patches',
    buffers: { x: noise(2 * 256 * 8, 1), w: noise(9 * 8 * 32, 3), y: output(2 * 256 * 32) },
    kernel: (b) => conv2dForward(PATCHED, { x: b.x!, w: [b.w!], y: b.y! }, GPU),
  },
  {
    name: 'product of many columns through workgroup memory',
    buffers: { a: noise(70 * 16, 1), b: noise(16 * 256, 2), y: output(70 * 256) },
    kernel: (b) => matmul({ m: 70, n: 256, k: 16 }, { a: b.a!, b: b.b!, y: b.y! }, GPU),
  },
  {
    name: 'backward-data of stride 2 through workgroup memory',
    buffers: { dy: dy.subarray(0, stridedSize), w, y: output(SIZE) },
    kernel: (b) => conv2dBackwardData(strided, { gradient: b.dy!, w: [b.w!], y: b.y! }, GPU),
  },
  {
    name: 'backward-weights through workgroup memory, in three parts that are not alike',
    buffers: {
      x: noise(LONG.inHeight * 16 * 4, 1),
      dy: noise(LONG.inHeight * 16 * 8, 2),
      y: output(conv2dSplits(LONG, GPU) * 4 * 8),
    },
    kernel: (b) => conv2dBackwardWeights(LONG, { x: b.x!, gradient: b.dy!, partials: b.y! }, GPU),
  },
  ...(matrices ? MATRIX_CASES : []),
  {
    name: 'matrix product',
    buffers: { a: noise(30 * 20, 1), b: noise(20 * 24, 2), y: output(30 * 24) },
    kernel: (b) => matmul({ m: 30, n: 24, k: 20 }, { a: b.a!, b: b.b!, y: b.y! }, EXCHANGE),
  },
];

describe.each(CASES)('$name', ({ buffers, kernel }) => {
  const names = Object.fromEntries(Object.keys(buffers).map((name) => [name, name]));
  const [fixed, ...others] = tilesFor(kernel(names));

  it('has the fixed tile without a choice', () => {
    expect(tile(kernel(names), fixed)).toEqual(kernel(names));
    expect(others.length).toBeGreaterThan(0);
  });

  it('gives the same bits with every other', async () => {
    const expected = await runKernel(buffers, kernel);
    for (const choice of others) {
      const found = await runKernel(buffers, (b) => tile(kernel(b), choice));
      expect(found, JSON.stringify(choice)).toEqual(expected);
    }
  });
});

it('leaves kernels alone that have no tiles', () => {
  expect(tilesFor(add(4, { a: 'a', b: 'b', y: 'y' }))).toEqual([]);
});

it('has a test of backward-weights in several parts', () => {
  expect(conv2dSplits(LONG, GPU)).toBe(3);
  if (matrices) expect(conv2dSplits(LONG_WIDE, MATRICES)).toBe(3);
});

/** The kernel with each of its tiles, all of which have to be within what every device has. */
const withinLimits = (kernel: Dispatch<string>) =>
  tilesFor(kernel).map((choice) => {
    const dispatch = tile(kernel, choice);
    const { memory, workgroup } = demandsOf(specialise(dispatch));
    expect(memoryBytes(memory)).toBeLessThanOrEqual(16384);
    expect(workgroup).toBeLessThanOrEqual(256);
    for (const count of dispatch.workgroups) expect(count).toBeLessThanOrEqual(65535);
    return { ...dispatch, workgroup };
  });

describe.each([
  { kernel: 1, stride: 1 },
  { kernel: 1, stride: 2 },
  { kernel: 3, stride: 1 },
  { kernel: 3, stride: 2 },
  { kernel: 5, stride: 3 },
  { kernel: 15, stride: 1 },
  { kernel: 3, stride: 32 },
])('of backward-weights by kernels of $kernel, stride $stride,', ({ kernel, stride }) => {
  it.each([4, 16, 20, 32, 44, 64, 128, 640])(
    'every tile of %i channels is within what every device has',
    (channels) => {
      const shape = { ...SHAPE, batch: 384, kernel, stride, inChannels: channels, outChannels: 2 * channels };
      const dispatch = conv2dBackwardWeights(shape, { x: 'x', gradient: 'g', partials: 'p' }, GPU);
      expect(dispatch.shader).toBe('conv2d_backward_weights_tiled');
      for (const { constants, workgroups } of withinLimits(dispatch)) {
        expect(workgroups[0] * 4 * Number(constants.TILE_IN)).toBe(channels);
        expect(workgroups[1] * 4 * Number(constants.TILE_OUT)).toBe(2 * channels);
      }
    },
  );
});

it('leaves kernels of more taps than a workgroup has invocations to the other way', () => {
  const dispatch = conv2dBackwardWeights({ ...SHAPE, kernel: 17 }, { x: 'x', gradient: 'g', partials: 'p' }, GPU);
  expect(dispatch.shader).toBe('conv2d_backward_weights');
});

describe.each([
  { height: 16, width: 16, terms: 16, lanes: 32 }, // NVIDIA's
  { height: 16, width: 8, terms: 16, lanes: 32 },
  { height: 8, width: 16, terms: 16, lanes: 16 }, // Intel's
  { height: 8, width: 8, terms: 8, lanes: 32 }, // Apple's
])('on matrix units of $height x $width x $terms, $lanes lanes', (matrices) => {
  it.each([16, 32, 48, 64, 80, 160, 640])('every tile of %i channels is within what every device has', (channels) => {
    const how = { ...MATRICES, matrices };
    const shape = { ...SHAPE, batch: 384, inChannels: channels, outChannels: channels };
    const kernels = [
      conv2dForward(shape, { x: 'x', w: ['w'], y: 'y', partials: 'p', residual: 'r' }, how),
      conv2dBackwardData(shape, { gradient: 'g', w: ['w'], y: 'y' }, how),
      conv2dBackwardWeights(shape, { x: 'x', gradient: 'g', partials: 'p' }, how),
    ];
    for (const kernel of kernels) {
      expect(kernel.shader).toMatch(/matrix$/);
      for (const { constants, workgroups, workgroup } of withinLimits(kernel)) {
        expect(workgroups[1] * 4 * Number(constants.TILE_VECS)).toBe(channels);
        // What an invocation lays into memory is of the same terms in every round.
        expect((workgroup * 4) % Number(constants.DEPTH)).toBe(0);
      }
    }
  });
});

describe.each([4, 12, 16, 20, 32, 64, 96, 128, 160, 640])('through workgroup memory, of %i channels', (channels) => {
  it.each([
    [32, 3, 1],
    [16, 3, 1],
    [8, 3, 1],
    [14, 3, 1],
    [32, 3, 2],
    [32, 1, 2],
  ])(
    'every tile of %i pixels a side is within what every device has, with a kernel of %i and stride %i',
    (side, kernel, stride) => {
      const shape = {
        batch: 384,
        inHeight: side,
        inWidth: side,
        inChannels: channels,
        outChannels: channels,
        kernel,
        stride,
      };
      const kernels = [
        conv2dForward(shape, { x: 'x', w: ['w'], y: 'y', partials: 'p', residual: 'r' }, GPU),
        conv2dBackwardData(shape, { gradient: 'g', w: ['w'], y: 'y' }, GPU),
        conv2dBackwardWeights(shape, { x: 'x', gradient: 'g', partials: 'p' }, GPU),
      ];
      for (const kernel of kernels) {
        expect(kernel.shader).toMatch(/tiled$/);
        withinLimits(kernel);
      }
    },
  );
});

it('adds a convolution up in one order whatever the batch', () => {
  for (const [side, from, to] of [
    [14, 4, 32],
    [14, 8, 256],
    [8, 128, 128],
    [32, 16, 16],
    [9, 20, 36],
  ] as const) {
    const patched = [1, 2, 8, 64, 384].map((batch) => {
      const shape = { batch, inHeight: side, inWidth: side, inChannels: from, outChannels: to, kernel: 3, stride: 1 };
      return conv2dForward(shape, { x: 'x', w: ['w'], y: 'y' }, GPU).constants.PATCHED ?? false;
    });
    expect(new Set(patched).size, `${side} pixels, ${from} to ${to}`).toBe(1);
  }
});
