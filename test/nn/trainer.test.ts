import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, vi } from 'vitest';
import { DataError, DeviceError, DivergenceError, UsageError } from '../../src/errors.js';
import { decodeCheckpoint, encodeCheckpoint, fingerprints } from '../../src/nn/checkpoint.js';
import type { Network, Values } from '../../src/nn/network.js';
import { cosineRate } from '../../src/nn/schedule.js';
import {
  type StepLog,
  Trainer,
  type TrainingData,
  type TrainingOptions,
  type TrainingState,
} from '../../src/nn/trainer.js';
import { engine } from '../support/gpu.js';
import { bitsOf, data, expectSameBits, finish, OPTIONS, reference } from '../support/training.js';

const begin = (options: Partial<TrainingOptions> = {}, start: Network | TrainingState = reference.network()) =>
  Trainer.create(engine, start, data, { ...OPTIONS, ...options });

async function train(options: Partial<TrainingOptions> = {}, start?: Network | TrainingState) {
  const trainer = await begin(options, start);
  const result = await finish(trainer);
  trainer.destroy();
  return result;
}

/** A run that is never stopped. */
const whole = await train();

describe('one seed', () => {
  it('gives the same bits in every run', async () => {
    const again = await train();
    expectSameBits(again.state, whole.state);
    expect(again.logs).toEqual(whole.logs);
    expect(whole.logs.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('and another gives others', async () => {
    const other = await train({ seed: 2 });
    expect(bitsOf(other.state).weights).not.toEqual(bitsOf(whole.state).weights);
    expect(other.logs).not.toEqual(whole.logs);
  });
});

it('draws each block’s dropout from a stream of its own', async () => {
  const trainer = await begin({ seed: 7 });
  const write = vi.spyOn(trainer.compiled, 'write');
  trainer.submitStep();
  const [, steps] = write.mock.calls.find(([{ name }]) => name === 'steps')!;
  await engine.finish();
  trainer.destroy();
  const [rate] = new Uint32Array(Float32Array.of(cosineRate(OPTIONS.learningRate, 1, OPTIONS.steps)).buffer);
  // Streams below 16 are augmentation's.
  const rows = [0, 1, 2, 3].map((row) => Array.from(steps.subarray(row * 64, row * 64 + 4)));
  expect(rows).toEqual([0, 16, 17, 18].map((stream) => [1, 7, rate, stream]));
});

it('a run that goes on from a checkpoint ends in the same bits as one that never stopped', async () => {
  const first = await begin();
  for (let step = 0; step < 3; step++) first.submitStep();
  const logs: StepLog[] = await first.readLogs();
  const checkpoint = { state: await first.state(), options: first.options, data: await fingerprints(data) };
  first.destroy();
  const { state, options } = decodeCheckpoint(encodeCheckpoint(checkpoint), 'saved');
  expectSameBits(state, checkpoint.state);
  const second = await train(options, state);
  expectSameBits(second.state, whole.state);
  expect([...logs, ...second.logs]).toEqual(whole.logs);
});

it('stops when asked, after a step, and can go on', async () => {
  const trainer = await begin();
  trainer.submitStep();
  const logs: StepLog[] = [];
  await trainer.run((more) => void logs.push(...more), AbortSignal.abort());
  expect(trainer.step).toBe(1);
  expect(logs).toEqual(whole.logs.slice(0, 1));
  const rest = await finish(trainer);
  trainer.destroy();
  expectSameBits(rest.state, whole.state);
});

it('reports the steps that were submitted when it was asked, and the others next time', async () => {
  const trainer = await begin();
  trainer.submitStep();
  const asked = trainer.readLogs();
  trainer.submitStep();
  expect([await asked, await trainer.readLogs()]).toEqual([whole.logs.slice(0, 1), whole.logs.slice(1, 2)]);
  trainer.destroy();
});

it('takes no step after the last', async () => {
  const trainer = await begin({ steps: 2 });
  for (let step = 0; step < 2; step++) trainer.submitStep();
  expect(() => trainer.submitStep()).toThrow(UsageError);
  expect(() => trainer.submitStep()).toThrow('all 2 steps are done: make a trainer of more');
  trainer.destroy();
});

it('that was destroyed refuses to go on, and leaves its engine to others', async () => {
  const trainer = await begin();
  const running = trainer.run(() => {});
  trainer.destroy();
  await expect(running).rejects.toThrow('this was destroyed, and its GPU memory freed: make it again');
  expect(() => trainer.submitStep()).toThrow(DeviceError);
  await expect(trainer.state()).rejects.toThrow(DeviceError);
  await engine.finish();
});

describe('200 steps', () => {
  it('make nothing on the GPU, submit once each, and leave no garbage that grows', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const heap = () => {
      collect();
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      return heapUsed + arrayBuffers;
    };
    const trainer = await begin({ steps: 200 });
    const take = async (steps: number) => {
      for (let i = 0; i < steps; i++) trainer.submitStep();
      return trainer.readLogs();
    };
    await take(40);
    expect(trainer.step).toBe(40);
    // Nine convolutions; a GPU's plan has more (see training-step.test.ts).
    expect(trainer.compiled.dispatchCount).toBeLessThan((engine.traits.workgroupMemory ? 7.5 : 5) * 9);
    const { submits, ...objects } = { ...engine.counters };
    const before = heap();
    expect(await take(48)).toHaveLength(48);
    expect(await take(48)).toHaveLength(48);
    for (let i = 0; i < 64; i++) trainer.submitStep();
    expect(() => trainer.submitStep(), 'figures would be lost').toThrow(/64 steps .* readLogs\(\)/);
    expect((await trainer.readLogs()).map(({ step }) => step)).toEqual(Array.from({ length: 64 }, (_, i) => 137 + i));
    expect(engine.counters).toEqual({ ...objects, submits: submits + 160 + 3 });
    // Single collections differ by 0.2 MB; 160 steps that each kept a little of every dispatch would take more than this.
    expect(heap() - before).toBeLessThan(1_000_000);
    trainer.destroy();
  }, 300_000);

  it('destroying the trainer gives its memory back', async () => {
    const { bytes } = engine.counters;
    const trainer = await begin();
    expect(engine.counters.bytes).toBeGreaterThan(bytes);
    trainer.destroy();
    expect(engine.counters.bytes).toBe(bytes);
  });
});

describe('divergence', () => {
  const state = reference.network().state;
  const withTensor = (name: string, change: (data: Float32Array) => void): Network => {
    const { shape, data } = state.get(name)!;
    const changed: Values = { shape, data: data.slice() };
    change(changed.data);
    return { ...reference.network(), state: new Map([...state, [name, changed]]) };
  };

  it('ends a run, naming the step, with the state after the last good one', async () => {
    const options = { steps: 20, learningRate: 1e20 };
    const trainer = await begin(options);
    const logs: StepLog[] = [];
    const error = await trainer
      .run((more) => void logs.push(...more))
      .then(
        () => undefined,
        (reason: Error) => reason,
      );
    expect(error).toBeInstanceOf(DivergenceError);
    const good = trainer.step;
    expect(good).toBeGreaterThanOrEqual(1);
    expect(error!.message).toMatch(new RegExp(`^training diverged at step ${good + 1}: .*learning rate`));
    expect(logs.map(({ step }) => step)).toEqual(Array.from({ length: good }, (_, i) => i + 1));
    for (const { loss } of logs) expect(Number.isFinite(loss)).toBe(true);

    const stopped = await begin(options);
    for (let step = 0; step < good; step++) stopped.submitStep();
    const saved = await trainer.state();
    expectSameBits(saved, await stopped.state());
    expect(saved.step).toBe(good);
    // It can be saved and read again: nothing in it is NaN or infinite.
    const checkpoint = { state: saved, options: trainer.options, data: await fingerprints(data) };
    expectSameBits(decodeCheckpoint(encodeCheckpoint(checkpoint), 'saved').state, saved);
    trainer.destroy();
    stopped.destroy();
  });

  it.each<[string, string, (weights: Float32Array) => void, RegExp]>([
    ['logits that overflow', 'fc.weight', (weights) => weights.fill(3e38), /the loss is (NaN|Infinity);/],
    [
      // An infinite variance normalises to zeros: neither the loss nor a gradient shows it.
      'activations whose variance alone overflows',
      'block3.layer.0.conv2.weight',
      (weights) => weights.set(weights.map((value) => 3e18 * value)),
      /the loss is \d.*statistic is not finite/,
    ],
  ])('of the first step, by %s, changes nothing', async (_, name, change, reason) => {
    const start = withTensor(name, change);
    const trainer = await begin({}, start);
    trainer.submitStep();
    trainer.submitStep();
    // Also before anybody looked at the figures.
    expect((await trainer.state()).step).toBe(0);
    await expect(trainer.readLogs()).rejects.toThrow(reason);
    expect(trainer.step).toBe(0);
    const after = await trainer.state();
    for (const [tensor, { data }] of start.state) expect(after.network.state.get(tensor)!.data).toEqual(data);
    for (const { data } of after.velocity.values()) expect(data.every((velocity) => velocity === 0)).toBe(true);
    await expect(finish(trainer)).rejects.toThrow('training diverged at step 1');
    trainer.destroy();
  });
});

it('the cosine schedule is PyTorch’s, from the first update to the last', () => {
  const { lr, steps, log } = reference.meta;
  for (const figures of log) expect(cosineRate(lr, figures.step!, steps)).toBeCloseTo(figures.lr!, 12);
  expect(cosineRate(0.1, 500, 1000)).toBeCloseTo((0.1 + 1e-6) / 2, 12);
  expect(cosineRate(0.1, 1000, 1000)).toBeCloseTo(1e-6, 12);
  expect(whole.logs.map((entry) => entry.lr)).toEqual([1, 2, 3, 4, 5, 6].map((step) => cosineRate(0.05, step, 6)));
});

describe('refuses, before it takes memory on the GPU,', () => {
  const { inDistribution } = data;
  const unlabelled = { ...inDistribution, labels: undefined } as unknown as typeof inDistribution;
  const mislabelled = { ...inDistribution, labels: inDistribution.labels!.map((label, i) => (i === 4 ? 10 : label)) };

  it.each<[string, Partial<TrainingOptions>, Partial<TrainingData>, RegExp]>([
    ['no steps', { steps: 0 }, {}, /^steps is 0, but must be a whole number of 1 or more$/],
    ['half a batch', { batch: 1.5 }, {}, /^batch is 1\.5, but/],
    [
      'a batch larger than the set',
      { batch: 19 },
      {},
      /^batch 19 is larger than in, which has 18 images: use at most 18$/,
    ],
    ['as much of the outliers', { outlierBatch: 31 }, {}, /^outlier batch 31 is larger than out, which has 30 images/],
    ['a loss of outliers without any', { outlierBatch: 0 }, {}, /^outlier batch is 0, but must be .* 1 or more$/],
    ['outliers that are not there', {}, { outliers: undefined }, /^outlier batch is 10, but no outliers are given$/],
    [
      'margins the wrong way round',
      { regulariser: { kind: 'energy', mIn: -5, mOut: -23, lambda: 0.1 } },
      {},
      /^m_in = -5 must be below m_out = -23: energy is to be low in-distribution/,
    ],
    ['dropout of everything', { dropout: 1 }, {}, /^dropout 1 is not a probability below 1$/],
    ['a learning rate of NaN', { learningRate: Number.NaN }, {}, /^learning rate NaN is not a positive number$/],
    ['a momentum of 1', { momentum: 1 }, {}, /^momentum 1 is not a number from 0 to below 1$/],
    ['no weight decay', { weightDecay: Number.NaN }, {}, /^weight decay NaN is not a number of 0 or more$/],
    ['a lambda below 0', { regulariser: { kind: 'oe', lambda: -1 } }, {}, /^lambda is -1; give a number of 0 or more$/],
    [
      'an infinite margin',
      { regulariser: { kind: 'energy', mIn: -Infinity, mOut: 0, lambda: 0.1 } },
      {},
      /^m_in is -Infinity; give a number of nats$/,
    ],
    ['a seed of more than 32 bits', { seed: 2 ** 32 }, {}, /^seed 4294967296 is not below 2\^32$/],
  ])('%s', async (_, options, sets, message) => {
    await expectRefusal(options, sets, UsageError, message);
  });

  it.each([
    ['images without labels', unlabelled, /^in has no labels/],
    ['a label that is no class', mislabelled, /^in: label 4 is 10, but the network has 10 classes/],
    [
      'classes that are not the network’s',
      { ...inDistribution, classNames: ['a', 'b'] },
      /^in has 2 classes, but the network has 10/,
    ],
  ])('%s', async (_, inDistribution, message) => {
    await expectRefusal({}, { inDistribution }, DataError, message);
  });

  it('outliers of another size', async () => {
    const outliers = { ...data.outliers!, height: 16, width: 64 };
    await expectRefusal(
      {},
      { outliers },
      DataError,
      /^out has images of 16 x 64 pixels, and in of 32 x 32: scale them/,
    );
  });

  async function expectRefusal(
    options: Partial<TrainingOptions>,
    sets: Partial<TrainingData>,
    type: new (message: string) => Error,
    message: RegExp,
  ): Promise<void> {
    const before = { ...engine.counters };
    const error = await Trainer.create(
      engine,
      reference.network(),
      { ...data, ...sets },
      { ...OPTIONS, ...options },
    ).then(
      () => undefined,
      (reason: Error) => reason,
    );
    expect(error).toBeInstanceOf(type);
    expect(error!.message).toMatch(message);
    expect(engine.counters).toEqual(before);
  }
});
