import { describe, expect, it } from 'vitest';
import { inputStep, nearestMean, odinSeed } from '../../src/kernels/input-step.js';
import { output, runKernel } from '../support/gpu.js';
import { expectClose, noise } from '../support/numbers.js';

describe.each([
  { rows: 1, classes: 2, temperature: 1 },
  { rows: 70, classes: 10, temperature: 1000 },
  { rows: 65, classes: 100, temperature: 0.5 },
])('the seed of ODIN: $rows x $classes at T = $temperature', ({ rows, classes, temperature }) => {
  it('is the gradient of CE(f / T, argmax f)', async () => {
    const logits = noise(rows * classes, 1).map((value) => 40 * value);
    const { gradient } = await runKernel({ logits, gradient: output(logits.length) }, (names) =>
      odinSeed({ rows, classes, temperature }, names),
    );
    for (let n = 0; n < rows; n++) {
      const row = Array.from(logits.subarray(n * classes, (n + 1) * classes));
      const max = Math.max(...row);
      const weights = row.map((value) => Math.exp((value - max) / temperature));
      const sum = weights.reduce((a, b) => a + b, 0);
      const best = row.indexOf(max);
      row.forEach((_, k) => {
        const others = sum - weights[best]!;
        const expected = (k === best ? -others : weights[k]!) / sum / temperature;
        // A float32 division and exponential: absolute where exp underflows, else relative to the row's largest.
        expect(Math.abs(gradient[n * classes + k]! - expected)).toBeLessThanOrEqual(
          2e-5 * (others / sum / temperature) + 1e-37,
        );
      });
    }
  });
});

describe.each([
  { rows: 1, count: 2, size: 1 },
  { rows: 70, count: 10, size: 65 },
])('the nearest of $count means of $size to $rows points', ({ rows, count, size }) => {
  it('is taken away', async () => {
    const z = noise(rows * size, 2);
    const means = noise(count * size, 3);
    const { residual } = await runKernel({ z, means, residual: output(z.length) }, (names) =>
      nearestMean({ rows, count, size }, names),
    );
    const expected = new Float64Array(z.length);
    for (let n = 0; n < rows; n++) {
      const distances = Array.from({ length: count }, (_, c) => {
        let sum = 0;
        for (let i = 0; i < size; i++) sum += (z[n * size + i]! - means[c * size + i]!) ** 2;
        return sum;
      });
      const nearest = distances.indexOf(Math.min(...distances));
      for (let i = 0; i < size; i++) expected[n * size + i] = z[n * size + i]! - means[nearest * size + i]!;
    }
    expectClose(residual, expected, 1e-6);
  });
});

it.each([1, 100])(
  'the input step of %i pixels: against the sign, 0 being positive, by the channel’s deviation',
  async (pixels) => {
    const std = [0.25, 0.5, 0.2] as const;
    const x = noise(3 * pixels, 4);
    const gradient = noise(3 * pixels, 5).map((value, i) => (i % 5 === 0 ? 0 : value * 1e-30));
    const { y } = await runKernel({ x, gradient, y: output(x.length) }, (names) =>
      inputStep({ count: x.length, epsilon: 0.125, std }, names),
    );
    const expected = Float64Array.from(x, (value, i) => value - (0.125 / std[i % 3]!) * (gradient[i]! < 0 ? -1 : 1));
    expectClose(y, expected, 1e-6);
  },
);
