import { expect } from 'vitest';
import type { StepLog, Trainer, TrainingData, TrainingOptions, TrainingState } from '../../src/nn/trainer.js';
import { golden } from './golden.js';

/**
 * The golden network and images, so that the kernels of all training tests are the same ones: WRN-10-1, 18 images of ten
 * classes and 30 outliers, 6 and 10 a step.
 */
export const reference = golden('finetune-energy-wrn-10-1.npz');

export const data = {
  inDistribution: reference.images('in'),
  outliers: reference.images('out'),
} satisfies TrainingData;

/** All that draws random numbers is on. */
export const OPTIONS: TrainingOptions = {
  steps: 6,
  batch: 6,
  outlierBatch: 10,
  regulariser: { kind: 'energy', mIn: -23, mOut: -5, lambda: 0.1 },
  learningRate: 0.05,
  momentum: 0.9,
  weightDecay: 5e-4,
  dropout: 0.3,
  augment: true,
  shuffle: true,
  seed: 1,
};

/** Run to the end. */
export async function finish(trainer: Trainer): Promise<{ state: TrainingState; logs: StepLog[] }> {
  const logs: StepLog[] = [];
  await trainer.run((more) => void logs.push(...more));
  return { state: await trainer.state(), logs };
}

const bits = (values: Iterable<readonly [string, { readonly data: Float32Array }]>) =>
  Object.fromEntries(
    Array.from(values, ([name, { data }]) => [name, Buffer.from(new Uint8Array(data.slice().buffer))]),
  );

/** The state as what only equal bits make equal. */
export const bitsOf = ({ network, velocity, step }: TrainingState) => ({
  step,
  batchesTracked: network.batchesTracked,
  weights: bits(network.state),
  velocity: bits(velocity),
});

export function expectSameBits(actual: TrainingState, expected: TrainingState): void {
  expect(bitsOf(actual)).toEqual(bitsOf(expected));
}
