import { describe, expect, it, vi } from 'vitest';
import type { ImageSet } from '../../src/data/image-set.js';
import type { Outputs } from '../../src/nn/classifier.js';
import { RowProgram } from '../../src/nn/row-program.js';
import { fitScores, fittedScores, type OutputMemory, scoreSets, scoreVariants } from '../../src/nn/scorer.js';
import { metrics } from '../../src/ood/metrics.js';
import { fitArrays, SCORES, type ScoreOptions, type ScoreState, scoreArrays } from '../../src/ood/scores.js';
import { engine } from '../support/gpu.js';
import { noise } from '../support/numbers.js';
import { reference } from '../support/training.js';

const network = reference.network();
const head = { weight: network.state.get('fc.weight')!.data, bias: network.state.get('fc.bias')!.data };
const [CLASSES, SIZE] = [10, 64];
const names = Object.keys(SCORES);
/** Without input steps, which ask a network. */
const options = { epsilon: 0 };

/** Remembers what it is given of each set, so that no network is asked. */
class Given implements OutputMemory {
  private readonly outputs = new Map<unknown, Outputs>();

  set(name: string, outputs: Outputs): ImageSet {
    const count = outputs.logits.length / CLASSES;
    const labels = Int32Array.from({ length: count }, (_, n) => n % CLASSES);
    const set = { name, images: new Uint8Array(count * 3072), count, height: 32, width: 32, labels };
    this.outputs.set(set, outputs);
    return set;
  }

  async get(_: unknown, set: unknown): Promise<Outputs> {
    return this.outputs.get(set)!;
  }

  async put(): Promise<void> {}
}

/** Features as after ReLU, about one mean a class, whose deviations go from 1 to 1/300; and their logits. */
function outputsOf(count: number, salt: number, scale = 4): Outputs {
  const [own, mixing, classes] = [noise(count * SIZE, salt), noise(SIZE * SIZE, 1), noise(CLASSES * SIZE, 2)];
  const features = Float32Array.from({ length: count * SIZE }, (_, at) => {
    const [n, i] = [Math.floor(at / SIZE), at % SIZE];
    let value = 2 + classes[(n % CLASSES) * SIZE + i]!;
    for (let j = 0; j < SIZE; j++) value += (own[n * SIZE + j]! * mixing[i * SIZE + j]!) / 300 ** (j / SIZE);
    return Math.max(0, value);
  });
  return { features, logits: noise(count * CLASSES, salt + 1).map((value) => scale * value) };
}

const memory = new Given();
const trained = outputsOf(5000, 3);
const training = memory.set('training', trained);
const asked = outputsOf(1500, 5);
const images = memory.set('images', asked);
const fitInput = { ...trained, classes: CLASSES, labels: training.labels!, head };

async function fitsOnArrays(): Promise<Map<string, ScoreState>> {
  const fits = new Map<string, ScoreState>();
  for (const name of fittedScores(names)) fits.set(name, (await fitArrays(SCORES[name]!, fitInput))!);
  return fits;
}

const onGpu = async (set: ImageSet, score: string, more: ScoreOptions = {}, fits = new Map<string, ScoreState>()) =>
  (await scoreSets(engine, network, [set], [score], { ...options, ...more, memory, fits }))[0]!.scores.get(score)!;

describe('the GPU, in float32, scores as float64 does', async () => {
  const fits = await fitsOnArrays();
  it.each(names)('%s', async (name) => {
    const input = { ...asked, classes: CLASSES, head, ...options, state: fits.get(name) };
    const expected = scoreArrays(SCORES[name]!, input);
    const actual = await onGpu(images, name, {}, fits);
    expect(actual).toHaveLength(expected.length);
    const mean = expected.reduce((sum, value) => sum + value, 0) / expected.length;
    const spread = Math.sqrt(expected.reduce((sum, value) => sum + (value - mean) ** 2, 0) / expected.length);
    const worst = expected.reduce((most, value, n) => Math.max(most, Math.abs(actual[n]! - value)), 0);
    // Beside the spread of the scores, as that is what ranks them. A distance to a neighbour is the root of 2 - 2 a·b, of a
    // product that float32 knows to 1e-7.
    expect(worst / spread).toBeLessThan(name === 'knn' ? 1e-4 : 3e-5);
    expect(new Set(expected).size).toBeGreaterThan(expected.length / 2);
  });

  it.each([0.1, 1, 10, 100, 1000])('energy at T = %f', async (temperature) => {
    const expected = scoreArrays(SCORES.energy!, { ...asked, classes: CLASSES, temperature });
    const actual = await onGpu(images, 'energy', { temperature });
    // Two float32 roundings of the largest logit, 4, and the rest to 2e-6.
    for (const [n, value] of expected.entries()) {
      expect(Math.abs(actual[n]! - value)).toBeLessThan(1e-6 * Math.abs(value) + 4e-6);
    }
  });
});

it('variants of scores ask about each image once, and are each what it is alone', async () => {
  const variants = new Map<string, ScoreOptions & { score: string }>([
    ...[1, 10, 1000].map((temperature) => [`T = ${temperature}`, { score: 'energy', temperature }] as const),
    ['gen', { score: 'gen' }],
  ]);
  const asking = vi.spyOn(memory, 'get');
  const [together] = await scoreVariants(engine, network, [images], variants, { memory });
  expect(asking).toHaveBeenCalledTimes(1);
  asking.mockRestore();
  expect([...together!.scores.keys()]).toEqual([...variants.keys()]);
  for (const [name, { score, ...own }] of variants) {
    expect(together!.scores.get(name)).toEqual(await onGpu(images, score, own));
  }
});

describe('float32 loses no ranks', () => {
  /** The metrics of two sets by a score, on the GPU and in float64. */
  async function both(ins: Outputs, outs: Outputs, name: string, more: ScoreOptions) {
    const sets = [memory.set('in', ins), memory.set('out', outs)];
    const actual = await Promise.all(sets.map((set) => onGpu(set, name, more)));
    const expected = [ins, outs].map((outputs) =>
      scoreArrays(SCORES[name]!, { ...outputs, classes: CLASSES, ...options, ...more }),
    );
    return {
      actual,
      expected,
      of: (scores: Float64Array[]) => metrics(scores[0]!, scores[1]!, { convention: 'paper' }),
    };
  }

  it.each(['energy', 'odin'])('of %s at T = 1000', async (name) => {
    const compared = await both(outputsOf(1500, 11, 5), outputsOf(1500, 13), name, { temperature: 1000 });
    const [actual, expected] = [compared.of(compared.actual), compared.of(compared.expected)];
    expect(Math.abs(actual.auroc - expected.auroc)).toBeLessThan(1e-6);
    expect(actual.fpr95).toBe(expected.fpr95);
    if (name === 'energy') return;
    // What tells images apart is how far softmax is above 1/K: to 1e-5 of that.
    for (const [n, value] of compared.expected[0]!.entries()) {
      expect(Math.abs((compared.actual[0]![n]! - value) / (value - 1 / CLASSES))).toBeLessThan(1e-5);
    }
  });

  it('of softmax within 1e-7 of 1', async () => {
    const confident = (salt: number, margin: number): Outputs => {
      const outputs = outputsOf(1500, salt);
      for (let n = 0; n < 1500; n++) outputs.logits[n * CLASSES + (n % CLASSES)]! += margin;
      return outputs;
    };
    const compared = await both(confident(15, 27), confident(17, 26), 'msp', {});
    const least = Math.min(...compared.expected[1]!);
    expect(1 - least).toBeLessThan(1e-7);
    const [actual, expected] = [compared.of(compared.actual), compared.of(compared.expected)];
    expect(Math.abs(actual.auroc - expected.auroc)).toBeLessThan(1e-6);
    expect(actual.fpr95).toBe(expected.fpr95);
    // 1 - softmax, of which a float64 near 1 keeps steps of 1e-16.
    for (const [n, value] of compared.expected[0]!.entries()) {
      expect(Math.abs(compared.actual[0]![n]! - value)).toBeLessThan(1e-5 * (1 - value) + 3e-16);
    }
  });
});

describe('fits on the GPU', async () => {
  const expected = await fitsOnArrays();
  const actual = await fitScores(engine, network, training, names, { memory });

  it('learn what they learn in float64', () => {
    expect([...actual.keys()]).toEqual([...expected.keys()]);
    const arrayOf = (fits: ReadonlyMap<string, ScoreState>, name: string, key: string) =>
      fits.get(name)![key]!.data as Float64Array;
    const length = (x: Float64Array) => Math.sqrt(x.reduce((sum, value) => sum + value ** 2, 0));
    const error = (name: string, key: string, of = (x: Float64Array) => x) => {
      const [a, e] = [of(arrayOf(actual, name, key)), of(arrayOf(expected, name, key))];
      expect(a).toHaveLength(e.length);
      return length(e.map((value, i) => a[i]! - value)) / length(e);
    };
    // Columns may differ in sign or by a rotation: what they project on does not.
    const projection = (w: Float64Array) => {
      const columns = w.length / SIZE;
      return Float64Array.from({ length: SIZE * SIZE }, (_, at) => {
        let sum = 0;
        for (let k = 0; k < columns; k++) {
          sum += w[Math.floor(at / SIZE) * columns + k]! * w[(at % SIZE) * columns + k]!;
        }
        return sum;
      });
    };
    expect(error('mahalanobis', 'means')).toBeLessThan(1e-6);
    // Variances go over five orders of magnitude.
    expect(error('mahalanobis', 'whitening', projection)).toBeLessThan(1e-5);
    expect(error('knn', 'bank')).toBeLessThan(1e-6);
    expect(error('vim', 'residual', projection)).toBeLessThan(1e-4);
    expect(error('vim', 'alpha')).toBeLessThan(1e-6);
    expect(error('react', 'threshold')).toBe(0);
  });

  it('leave out directions that the training features do not take', async () => {
    // The last feature is the sum of two others, and one is always 0.
    const outputs = outputsOf(1500, 21);
    for (let n = 0; n < 1500; n++) {
      const row = outputs.features.subarray(n * SIZE, (n + 1) * SIZE);
      row[SIZE - 1] = row[0]! + row[1]!;
      row[7] = 0;
    }
    const set = memory.set('dependent', outputs);
    const own = await fitScores(engine, network, set, ['mahalanobis'], { memory });
    const exact = (await fitArrays(SCORES.mahalanobis!, { ...outputs, classes: CLASSES, labels: set.labels!, head }))!;
    const zeros = (state: ScoreState) => {
      const whitening = state.whitening!.data as Float64Array;
      return Array.from({ length: SIZE }, (_, j) => j).filter((j) =>
        Array.from({ length: SIZE }, (_, i) => whitening[i * SIZE + j]!).every((value) => value === 0),
      );
    };
    expect(zeros(exact)).toHaveLength(2);
    expect(zeros(own.get('mahalanobis')!)).toHaveLength(2);
  });
});

it('a bank of a million neighbours is worked at in submits of bounded length', async () => {
  const [count, points, size, k] = [8, 1_000_000, 4, 50];
  const [features, bank] = [noise(count * size, 31), noise(points * size, 32)];
  const shape = { count, classes: CLASSES, size };
  const program = await RowProgram.compile(engine, shape, ({ features }) => [features.kthProduct(bank, k)]);
  const { submits } = engine.counters;
  const [actual] = await program.each({ features, logits: new Float32Array(count * CLASSES) });
  program.destroy();
  // At most 32,768 points each; and one to read.
  expect(engine.counters.submits - submits).toBeGreaterThan(points / 32_768);
  for (let n = 0; n < count; n++) {
    const products = Float64Array.from({ length: points }, (_, m) => {
      let sum = 0;
      for (let i = 0; i < size; i++) sum += features[n * size + i]! * bank[m * size + i]!;
      return sum;
    }).sort();
    expect(Math.abs(actual![n]! - products[points - k]!)).toBeLessThan(1e-6);
  }
});
