import { afterEach, describe, expect, it, vi } from 'vitest';
import { Detector } from '../../src/gate/detector.js';
import type { Gate } from '../../src/gate/gate.js';
import { Classifier } from '../../src/nn/classifier.js';
import { type OutputMemory, scoreSets } from '../../src/nn/scorer.js';
import { Trainer } from '../../src/nn/trainer.js';
import { engine } from '../support/gpu.js';
import { data, OPTIONS, reference } from '../support/training.js';

const network = reference.network();
const { inDistribution, outliers } = data;

/** Two classifiers: one of them makes an input step. */
const gate: Gate = {
  ...{ network, precision: 'float32', score: 'odin', temperature: 1000, epsilon: 0.001, accept: 0.8 },
  calibration: { scores: Float64Array.from({ length: 18 }, (_, i) => i) },
};

/** Remembers that a network said nothing but zeros, so that none is compiled. */
const zeros: OutputMemory = {
  get: async (_, { count }) => ({ logits: new Float32Array(count * 10), features: new Float32Array(count * 64) }),
  put: async () => {},
};
/** Two programs. */
const scored = () => scoreSets(engine, network, [inDistribution], ['energy', 'gen'], { memory: zeros });

/** By name, whatever takes memory of the GPU, made and freed again. */
const makes: Record<string, () => Promise<void>> = {
  'a trainer': async () => (await Trainer.create(engine, network, data, OPTIONS)).destroy(),
  'a classifier': async () => (await Classifier.create(engine, network, { batch: 16 })).destroy(),
  'a detector': async () => (await Detector.of(engine, gate)).destroy(),
  scores: async () => void (await scored()),
};

afterEach(() => {
  vi.restoreAllMocks();
});

/** Have the n-th call (from 0) fail, and count calls. */
function failAt(method: 'createBuffer' | 'write' | 'prepare', n: number) {
  const original = engine[method].bind(engine) as (...args: unknown[]) => never;
  let calls = 0;
  const spy = vi.spyOn(engine, method).mockImplementation((...args: unknown[]) => {
    if (calls++ === n) throw new Error('injected');
    return original(...args);
  });
  return { count: () => calls, restore: () => spy.mockRestore() };
}

describe.each(Object.keys(makes))('%s', (name) => {
  const make = makes[name]!;

  it.each(['createBuffer', 'write', 'prepare'] as const)('frees all where %s fails', async (method) => {
    await make(); // what reads are copied to stays
    const { bytes } = engine.counters;
    const whole = failAt(method, Number.POSITIVE_INFINITY);
    await make();
    whole.restore();
    expect(engine.counters.bytes, 'one that does not fail').toBe(bytes);
    expect(whole.count()).toBeGreaterThan(0);
    const all = Array.from({ length: whole.count() }, (_, n) => n);
    // Kernels are prepared when all of a program's buffers are there.
    for (const n of method === 'prepare' ? [0, all.length - 1] : all) {
      const failing = failAt(method, n);
      await expect(make()).rejects.toThrow('injected');
      failing.restore();
      expect(engine.counters.bytes, `${method} ${n} of ${all.length}`).toBe(bytes);
    }
  });
});

it('a trainer frees all where images cannot be read', async () => {
  const { bytes } = engine.counters;
  const { images, ...properties } = outliers;
  const read = () => Promise.reject(new Error('unreadable'));
  const broken = { ...properties, read, gather: read };
  const made = Trainer.create(engine, network, { inDistribution, outliers: broken }, OPTIONS);
  await expect(made).rejects.toThrow('unreadable');
  expect(engine.counters.bytes).toBe(bytes);
});

it('a detector frees all where its gate has too few scores', async () => {
  const { bytes } = engine.counters;
  const few = { ...gate, calibration: { scores: Float64Array.of(1) } };
  await expect(Detector.of(engine, few)).rejects.toThrow('scores');
  expect(engine.counters.bytes).toBe(bytes);
});
