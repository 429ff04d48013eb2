import { expect, it } from 'vitest';
import { engine } from '../support/gpu.js';
import { energate, said } from './support/run.js';

it.skipIf(!engine.device.features.has('timestamp-query'))(
  'energate profile tells what each kernel of a step takes (where there is timestamp-query)',
  async () => {
    const args = ['profile', '--batch', '1', '--outlier-batch', '1', '--runs', '2', '--quiet', '--json'];
    const result = await energate(args);
    expect(said(result)).toEqual([]);
    expect(result.code).toBe(0);
    const { network, images, dispatches, kernels, ms_step } = JSON.parse(result.stdout);
    expect({ network, images }).toEqual({ network: 'WRN-10-1', images: 2 });
    const sum = (of: (kernel: { dispatches: number; ms: number; share: number }) => number) =>
      kernels.reduce((total: number, kernel: never) => total + of(kernel), 0);
    expect(sum((kernel) => kernel.dispatches)).toBe(dispatches);
    expect(sum((kernel) => kernel.share)).toBeCloseTo(1, 6);
    // Kernels that run side by side are one line.
    expect(kernels.map(({ kernel }: { kernel: string }) => kernel).join()).toContain('conv2d_backward_weights');
    // The kernels make up the step, but for submitting it and the gaps that timestamps add.
    expect(sum((kernel) => kernel.ms)).toBeGreaterThan(0);
    expect(sum((kernel) => kernel.ms)).toBeLessThan(4 * ms_step);
  },
);
