import { describe, expect, it } from 'vitest';
import { checkFinite, sgd } from '../../src/kernels/sgd.js';
import { sgdStep } from '../reference/sgd.js';
import { runKernel } from '../support/gpu.js';
import { expectClose, f64, noise } from '../support/numbers.js';

const NONE = 0xffffffff;
const OPTIONS = { momentum: 0.9, weightDecay: 5e-4 };

/** One step, the finiteness check before it as in training. */
async function step(
  state: { w: Float32Array; velocity: Float32Array; halted: number },
  gradient: Float32Array,
  number: number,
  rate: number,
  lossScale?: number,
) {
  const words = new Uint32Array(4);
  words.set([number, 1]);
  new Float32Array(words.buffer)[2] = rate;
  const size = gradient.length;
  const { w, velocity, halted } = await runKernel(
    { ...state, gradient, step: words, halted: Uint32Array.of(state.halted) },
    ({ gradient, ...names }) => [
      ...checkFinite({ size }, { x: gradient, ...names }),
      ...sgd({ size, ...OPTIONS, lossScale }, { gradient, ...names }),
    ],
  );
  return { w, velocity, halted: halted[0]! };
}

it.each([1, 3, 64, 131, 1030, 4100])('three steps of %i parameters, each at its own rate', async (size) => {
  let state: Parameters<typeof step>[0] = { w: noise(size, 1), velocity: new Float32Array(size), halted: NONE };
  let wanted = { weights: f64(state.w), velocity: f64(state.velocity) };
  for (const [i, lr] of [0.1, 0.05, 0.001].entries()) {
    const gradient = noise(size, 2 + i);
    state = await step(state, gradient, i + 1, lr);
    wanted = sgdStep(wanted.weights, f64(gradient), wanted.velocity, { lr, ...OPTIONS });
    expectClose(state.w, wanted.weights, 1e-6, 'weights');
    expectClose(state.velocity, wanted.velocity, 1e-6, 'velocity');
    expect(state.halted).toBe(NONE);
  }
});

it('divides a gradient by the loss scale', async () => {
  const state = { w: noise(131, 1), velocity: noise(131, 2), halted: NONE };
  const gradient = noise(131, 3);
  const scaled = gradient.map((value) => 1024 * value);
  expect(await step(state, scaled, 1, 0.1, 1024)).toEqual(await step(state, gradient, 1, 0.1));
});

describe('a gradient that is not finite', () => {
  const size = 131;
  const start = { w: noise(size, 1), velocity: noise(size, 2), halted: NONE };

  it.each([
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
    ['minus infinity', Number.NEGATIVE_INFINITY],
  ])('%s halts the run, and nothing changes in that step or later', async (_, bad) => {
    const gradient = noise(size, 3);
    gradient[size - 1] = bad;
    const halted = await step(start, gradient, 5, 0.1);
    expect(halted).toEqual({ ...start, halted: 5 });
    expect(await step(halted, noise(size, 4), 6, 0.1)).toEqual({ ...start, halted: 5 });
    expect(await step(halted, gradient, 7, 0.1)).toEqual({ ...start, halted: 5 });
  });

  it('is not one that is merely large', async () => {
    const { halted } = await step(start, noise(size, 3).fill(3.4e38), 5, 1e-30);
    expect(halted).toBe(NONE);
  });
});

describe.each([
  { size: 4100, second: 64 },
  { size: 1031, second: 130 },
])('of $size numbers and $second more', ({ size, second }) => {
  it.each([
    ['none', -1],
    ['the first', 0],
    ['the last', size - 1],
    ['the first of the others', size],
    ['the last of the others', size + second - 1],
  ])('finds NaN in %s', async (_, at) => {
    const [x, y] = [noise(size, 1), noise(second, 2)];
    if (at >= size) y[at - size] = Number.NaN;
    else if (at >= 0) x[at] = Number.NaN;
    const { halted } = await runKernel(
      { x, y, step: Uint32Array.of(3, 1, 0, 0), halted: Uint32Array.of(NONE) },
      (names) => checkFinite({ size, second }, names),
    );
    expect(halted).toEqual(Uint32Array.of(at < 0 ? NONE : 3));
  });
});
