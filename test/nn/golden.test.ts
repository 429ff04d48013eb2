import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Classifier } from '../../src/nn/classifier.js';
import type { Network } from '../../src/nn/network.js';
import { Trainer, type TrainingOptions, type TrainingState } from '../../src/nn/trainer.js';
import { type Golden, golden, hasShared, relativeError } from '../support/golden.js';
import { engine, MATRIX_SHADERS, shadersOf } from '../support/gpu.js';

/** A file, whether it is there, and whether the kernels are those that a GPU gets. */
const files: [string, boolean, boolean][] = [
  ['finetune-energy-wrn-10-1.npz', true, false],
  ['finetune-energy-wrn-10-1.npz', true, true],
  ['finetune-oe-wrn-10-1.npz', true, false],
  ['finetune-energy-wrn-16-2.npz', hasShared('finetune-energy-wrn-16-2.npz'), false],
];

const trainer = (
  reference: Golden,
  options: Partial<TrainingOptions> = {},
  start: Network | TrainingState = reference.network(),
) => {
  const { meta } = reference;
  return Trainer.create(
    engine,
    start,
    { inDistribution: reference.images('in'), outliers: reference.images('out') },
    {
      steps: meta.steps,
      batch: meta.batch,
      outlierBatch: meta.outlier_batch,
      regulariser:
        meta.loss === 'energy'
          ? { kind: 'energy', mIn: meta.m_in, mOut: meta.m_out, lambda: 0.1 }
          : { kind: 'oe', lambda: 0.5 },
      learningRate: meta.lr,
      momentum: 0.9,
      weightDecay: 5e-4,
      dropout: 0,
      augment: false,
      shuffle: false,
      seed: 1,
      ...options,
    },
  );
};

/** Largest difference over the range of the reference. */
const ofRange = (actual: Float32Array, expected: Float32Array) =>
  Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!))) /
  (Math.max(...expected) - Math.min(...expected));

// Where the driver's cache is empty, a software adapter compiles the pipelines of the larger network for minutes.
const TIMEOUT = 300_000;

for (const [file, present, gpu] of files) {
  describe.skipIf(!present)(`${file} (PyTorch, float64)${gpu ? ', a GPU’s kernels' : ''}`, { timeout: TIMEOUT }, () => {
    const reference = present ? golden(file) : (undefined as never);
    beforeAll(() => {
      if (gpu) vi.spyOn(engine, 'adapter', 'get').mockReturnValue({ ...engine.adapter, software: false });
    });
    afterAll(() => void vi.restoreAllMocks());

    test('evaluation before fine-tuning: logits and features', async () => {
      const classifier = await Classifier.create(engine, reference.network(), { batch: 7 });
      const { logits, features } = await classifier.run(reference.images('in'));
      expect(ofRange(logits, reference.array('eval_logits_before').data)).toBeLessThan(1e-4);
      expect(relativeError(features, reference.array('features_before').data)).toBeLessThan(1e-4);
      classifier.destroy();
    });

    test('every gradient of the first step', async () => {
      const run = await trainer(reference);
      run.submitStep();
      const { velocity } = await run.state();
      run.destroy();
      const { state } = reference.network();
      const names = reference.names.filter((key) => key.startsWith('grad/')).map((key) => key.slice('grad/'.length));
      expect([...velocity.keys()].sort()).toEqual([...names].sort());
      for (const name of names) {
        // The momentum buffer after one step is the gradient and the weight decay.
        const before = state.get(name)!.data;
        const gradient = velocity.get(name)!.data.map((v, i) => v - 5e-4 * before[i]!);
        expect(relativeError(gradient, reference.array(`grad/${name}`).data), name).toBeLessThan(1e-4);
      }
    });

    test('every logged figure, every final tensor and the logits after', async () => {
      const run = await trainer(reference);
      const logs: Record<string, number>[] = [];
      await run.run((more) => void logs.push(...(more as never as Record<string, number>[])));
      expect(logs).toHaveLength(reference.meta.steps);
      reference.meta.log.forEach((expected, i) => {
        for (const [field, value] of Object.entries(expected)) {
          expect(Math.abs(logs[i]![field]! - value), `step ${i + 1}: ${field}`).toBeLessThanOrEqual(
            1e-4 * Math.abs(value),
          );
        }
      });
      const network = await run.network();
      for (const name of reference.names.filter((key) => key.startsWith('final/'))) {
        const { data, shape } = network.state.get(name.slice('final/'.length))!;
        expect(shape).toEqual(reference.array(name).shape);
        expect(relativeError(data, reference.array(name).data), name).toBeLessThan(1e-4);
      }
      expect(network.batchesTracked).toBe(reference.meta.steps);
      run.destroy();

      const classifier = await Classifier.create(engine, network);
      const { logits } = await classifier.run(reference.images('in'));
      expect(ofRange(logits, reference.array('eval_logits_after').data)).toBeLessThan(1e-4);
      classifier.destroy();
    });
  });
}

// But for what they load and store, these kernels are those that float32's tests check.
describe.skipIf(!engine.device.features.has('shader-f16')).each([
  {
    kernels: 'this adapter',
    software: engine.adapter.software,
    matrices: !engine.adapter.software && engine.matrices,
  },
  ...(engine.matrices ? [{ kernels: 'matrix units', software: false, matrices: engine.matrices }] : []),
])('float16 activations, with the kernels of $kernels', ({ software, matrices }) => {
  afterEach(() => void vi.restoreAllMocks());

  test('the figures of PyTorch to a thousandth, and the same bytes after a stop', { timeout: TIMEOUT }, async () => {
    vi.spyOn(engine, 'adapter', 'get').mockReturnValue({ ...engine.adapter, software });
    const reference = golden('finetune-energy-wrn-10-1.npz');
    const logs: Record<string, number>[] = [];
    const prepare = vi.spyOn(engine, 'prepare');
    const whole = await trainer(reference, { float16: true });
    for (const shader of MATRIX_SHADERS) expect(shadersOf(prepare).has(shader)).toBe(Boolean(matrices));
    await whole.run((more) => void logs.push(...(more as never as Record<string, number>[])));
    reference.meta.log.forEach((expected, i) => {
      for (const field of ['loss', 'energy_in', 'energy_out']) {
        const error = Math.abs(logs[i]![field]! - expected[field]!);
        expect(error, `step ${i + 1}: ${field}`).toBeLessThan(1e-3 * Math.abs(expected[field]!));
      }
    });
    const first = await trainer(reference, { float16: true });
    first.submitStep();
    const second = await trainer(reference, { float16: true }, await first.state());
    await second.run(() => {});
    expect((await second.state()).network.state).toEqual((await whole.state()).network.state);
    for (const run of [whole, first, second]) run.destroy();
  });
});
