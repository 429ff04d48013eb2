import { describe, expect, it } from 'vitest';
import { add, clip, dropout, relu, reluBackward } from '../../src/kernels/elementwise.js';
import * as reference from '../reference/layers.js';
import { output, runKernel } from '../support/gpu.js';
import { f64, noise } from '../support/numbers.js';
import { dropoutMask } from '../support/pcg.js';

const f32 = (x: Float64Array) => Float32Array.from(x);

describe.each([1, 5, 64, 131, 1030, 4100])('%i elements', (size) => {
  const a = noise(size, 1);
  const b = noise(size, 2);

  it('add, to the last bit', async () => {
    const { y } = await runKernel({ a, b, y: output(size) }, ({ a, b, y }) => add(size, { a, b, y }));
    expect(y).toEqual(f32(reference.add(f64(a), f64(b))));
  });

  it('clip, to the last bit', async () => {
    const { y } = await runKernel({ x: a, most: Float32Array.of(0.1), y: output(size) }, (names) => clip(size, names));
    expect(y).toEqual(a.map((value) => Math.min(value, Math.fround(0.1))));
  });

  it('relu and its gradient, which is 0 at 0', async () => {
    const x = a.slice();
    x[0] = 0;
    const { y, dx } = await runKernel(
      { x, gradient: b, y: output(size), dx: output(size) },
      ({ x, gradient, y, dx }) => [relu(size, { x, y }), reluBackward(size, { x, gradient, y: dx })],
    );
    expect(y).toEqual(f32(reference.relu(f64(x))));
    expect(dx).toEqual(f32(reference.reluBackward(f64(x), f64(b))));
  });
});

it('covers more elements than one dimension of workgroups holds', async () => {
  const size = 65535 * 64 + 1;
  const a = new Float32Array(size).map((_, i) => i);
  const b = new Float32Array(size).fill(1);
  const { y } = await runKernel({ a, b, y: output(size) }, ({ a, b, y }) => add(size, { a, b, y }));
  expect(y.findIndex((value, i) => value !== i + 1)).toBe(-1);
});

describe('dropout', () => {
  const draw = async (size: number, rate: number, stream: number, step: readonly [number, number]) => {
    const { y } = await runKernel(
      { x: new Float32Array(size).fill(1), step: Uint32Array.of(...step, 0, stream), y: output(size) },
      ({ x, step, y }) => dropout({ size, rate }, { x, step, y }),
    );
    return y;
  };

  it.each([1, 7, 1000])('masks %i elements as pcg4d in JavaScript does', async (size) => {
    const rate = 0.3;
    const x = noise(size, 3);
    const step = Uint32Array.of(12, 3456789012, 0, 5);
    const { y } = await runKernel({ x, step, y: output(size) }, (names) => dropout({ size, rate }, names));
    const mask = dropoutMask(size, { rate, stream: 5, step: 12, seed: 3456789012 });
    y.forEach((value, i) => {
      expect(value === 0).toBe(mask[i] === 0);
      expect(value).toBeCloseTo(x[i]! * mask[i]!, 6);
    });
  });

  it.each([0.1, 0.3, 0.5])('drops a share of %f', async (rate) => {
    const size = 100_000;
    const dropped = (await draw(size, rate, 0, [1, 1])).filter((value) => value === 0).length / size;
    // Five standard deviations of a binomial share.
    expect(Math.abs(dropped - rate)).toBeLessThan(5 * Math.sqrt((rate * (1 - rate)) / size));
  });

  it('keeps everything at rate 0', async () => {
    expect(await draw(9, 0, 0, [1, 1])).toEqual(new Float32Array(9).fill(1));
  });

  it('draws the same mask from the same step, seed and stream, and another one from any other', async () => {
    const first = await draw(256, 0.5, 1, [7, 1]);
    expect(await draw(256, 0.5, 1, [7, 1])).toEqual(first);
    for (const [stream, step, seed] of [
      [2, 7, 1],
      [1, 8, 1],
      [1, 7, 2],
    ] as const) {
      const other = await draw(256, 0.5, stream, [step, seed]);
      const same = other.filter((value, i) => value === first[i]).length;
      expect(same).toBeGreaterThan(88);
      expect(same).toBeLessThan(168);
    }
  });
});
