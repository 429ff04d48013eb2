import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ImageSet } from '../../src/data/image-set.js';
import { readNpz } from '../../src/formats/npz.js';
import { Graph } from '../../src/graph/graph.js';
import { gatherImages } from '../../src/graph/ops/gather-images.js';
import { perturbed } from '../../src/nn/classifier.js';
import { packArena, stateInputs, stateLayout } from '../../src/nn/device-state.js';
import { decodeFits, encodeFits, fitScores, scoreSets } from '../../src/nn/scorer.js';
import { findScore, type Perturbation } from '../../src/ood/scores.js';
import { golden } from '../support/golden.js';
import { engine } from '../support/gpu.js';
import { runGraph } from '../support/graph.js';

/** PyTorch's float64 scores of a WRN-10-1. Its gradients and training images are in ../shared alone. */
const fixture = new URL('../fixtures/reference/scores-wrn-10-1.npz', import.meta.url);
const shared = new URL('../../../shared/reference/scores-wrn-10-1.npz', import.meta.url);
const hasGradients = existsSync(shared);
const npz = readNpz(new Uint8Array(readFileSync(hasGradients ? shared : fixture)), 'scores-wrn-10-1.npz');
const array = (name: string) => npz.get(name).data as Float64Array;
const network = golden('finetune-energy-wrn-10-1.npz').network();
const imagesOf = (name: string, labels?: string): ImageSet => ({
  name,
  images: npz.get(name).data as Uint8Array,
  count: npz.get(name).shape[0]!,
  height: 32,
  width: 32,
  ...(labels && { labels: Int32Array.from(npz.get(labels).data as never, Number) }),
});
const images = imagesOf('images');
const inDistribution = golden('finetune-energy-wrn-10-1.npz').images('in');
/** Some of every class. */
const training = { ...inDistribution, labels: Int32Array.from({ length: inDistribution.count }, (_, i) => i % 10) };

/** Norm of the difference over the norm of the expected values. */
const relative = (actual: ArrayLike<number>, expected: Float64Array) => {
  let difference = 0;
  let norm = 0;
  expected.forEach((value, i) => {
    difference += (actual[i]! - value) ** 2;
    norm += value ** 2;
  });
  return Math.sqrt(difference / norm);
};

/** The gradient that an input step follows, as [N, 3, 32, 32]. */
async function inputGradient(perturbation: Perturbation): Promise<Float32Array> {
  const graph = new Graph();
  const layout = stateLayout(network.config);
  const { parameters, statistics, state } = stateInputs(graph, layout);
  const pixels = graph.input('pixels', [images.images.length / 4], 'u32');
  const indices = graph.input('indices', [images.count], 'u32');
  const step = graph.input('step', [4], 'u32');
  const input = gatherImages([{ chunks: [{ tensor: pixels, start: 0, count: images.count }], indices }], step, {
    height: 32,
    width: 32,
    normalization: network.normalization,
    augment: false,
  });
  const { gradient } = perturbed(graph, input, network, state, perturbation);
  const [nhwc] = await runGraph(
    graph,
    new Map<never, never>([
      [parameters, packArena(layout.parameters, network.state)],
      [statistics, packArena(layout.statistics, network.state)],
      [pixels, new Uint32Array(images.images.slice().buffer)],
      [indices, Uint32Array.from({ length: images.count }, (_, i) => i)],
      [step, new Uint32Array(4)],
    ] as never),
    [gradient],
  );
  const nchw = new Float32Array(nhwc!.length);
  for (let i = 0; i < nchw.length; i++) {
    const [n, c, position] = [Math.floor(i / 3072), Math.floor(i / 1024) % 3, i % 1024];
    nchw[i] = nhwc![n * 3072 + position * 3 + c]!;
  }
  return nchw;
}

describe('scores of a WRN-10-1 (PyTorch, float64)', () => {
  it.each([1, 10, 1000])('energy at T = %i', async (temperature) => {
    const [result] = await scoreSets(engine, network, [images], ['energy', 'msp', 'maxlogit'], { temperature });
    const energy = result!.scores.get('energy')!.map((value) => -value);
    expect(relative(energy, array(`energy_T${temperature}`))).toBeLessThan(1e-4);
    expect(relative(result!.scores.get('msp')!, array('msp'))).toBeLessThan(1e-4);
    expect(relative(result!.scores.get('maxlogit')!, array('maxlogit'))).toBeLessThan(1e-4);
    expect(relative(result!.logits, array('logits'))).toBeLessThan(1e-4);
  });

  it.each([
    [1000, 0.0014],
    [1, 0.0048],
    [10, 0],
  ])('ODIN at T = %f, epsilon = %f', async (temperature, epsilon) => {
    const [result] = await scoreSets(engine, network, [images], ['odin'], { temperature, epsilon });
    const expected = array(`odin_T${temperature}_eps${epsilon === 0 ? '0.0' : epsilon}`);
    expect(relative(result!.scores.get('odin')!, expected)).toBeLessThan(1e-4);
  });

  it.skipIf(!hasGradients).each([
    [1000, '0.0014'],
    [1, '0.0048'],
    [10, '0.0'],
  ])('ODIN: the gradient at T = %i, and 99.9 %% of its signs', async (temperature, epsilon) => {
    const expected = npz.get(`odin_grad_T${temperature}_eps${epsilon}`).data as Float64Array;
    // The reference is of the mean over the batch.
    const sums = await inputGradient({ of: 'cross-entropy', temperature, epsilon: 1 });
    const gradient = sums.map((value) => value / images.count);
    const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    let counted = 0;
    let agree = 0;
    expected.forEach((value, i) => {
      if (Math.abs(value) <= 1e-6 * largest) return;
      counted++;
      if (Math.sign(value) === Math.sign(gradient[i]!)) agree++;
    });
    expect(counted).toBeGreaterThan(expected.length / 2);
    expect(agree / counted).toBeGreaterThanOrEqual(0.999);
    expect(relative(gradient, expected)).toBeLessThan(1e-4);
  });

  it.skipIf(!hasGradients)('Mahalanobis: means, precision, and the score at every epsilon', async () => {
    const fits = await fitScores(engine, network, imagesOf('maha_train_images', 'maha_train_labels'), ['mahalanobis']);
    const { means, whitening } = fits.get('mahalanobis')!;
    expect(relative(means!.data as Float64Array, array('maha_means'))).toBeLessThan(1e-4);
    const w = whitening!.data as Float64Array;
    const precision = Float64Array.from({ length: 64 * 64 }, (_, at) => {
      const [i, j] = [Math.floor(at / 64), at % 64];
      let sum = 0;
      for (let k = 0; k < 64; k++) sum += w[i * 64 + k]! * w[j * 64 + k]!;
      return sum;
    });
    expect(relative(precision, array('maha_precision'))).toBeLessThan(1e-4);
    for (const [epsilon, name] of [
      [0, 'maha_eps0.0'],
      [0.0014, 'maha_eps0.0014'],
      [0.01, 'maha_eps0.01'],
    ] as const) {
      const [result] = await scoreSets(engine, network, [images], ['mahalanobis'], { epsilon, fits });
      expect(relative(result!.scores.get('mahalanobis')!, array(name)), name).toBeLessThan(1e-4);
    }
  });
});

describe('fits', () => {
  const names = ['mahalanobis', 'knn', 'vim', 'react'];
  it('are the same after a file', async () => {
    const fits = await fitScores(engine, network, training, [...names, 'msp']);
    expect([...fits.keys()]).toEqual(names);
    const read = decodeFits(encodeFits(fits, network), 'fit.safetensors', network);
    const scores = async (these: typeof fits) =>
      (await scoreSets(engine, network, [images], names, { fits: these }))[0]!.scores;
    expect(await scores(read)).toEqual(await scores(fits));
  });

  it('refuse another network, another file, a set without labels and a score without its fit', async () => {
    const fits = await fitScores(engine, network, training, ['react']);
    const bytes = encodeFits(fits, network);
    const wider = { ...network, config: { ...network.config, width: 2 } };
    expect(() => decodeFits(bytes, 'fit.safetensors', wider)).toThrow(
      'fit.safetensors was fitted for 64 features and 10 classes, but the network has 128 and 10; fit again',
    );
    const { labels: _, ...unlabelled } = training;
    await expect(fitScores(engine, network, unlabelled, ['mahalanobis'])).rejects.toThrow('have no labels');
    await expect(scoreSets(engine, network, [images], ['knn'], { fits })).rejects.toThrow(
      'knn must be fitted on training images first',
    );
    expect(findScore('react').fit).toBeDefined();
  });
});
