import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DataError, UsageError } from '../../src/errors.js';
import { toFloat32 } from '../../src/formats/array.js';
import { readNpz } from '../../src/formats/npz.js';
import { symmetricEigen } from '../../src/ood/linear-algebra.js';
import { findScore, fitArrays, scoreArrays } from '../../src/ood/scores.js';

/** NumPy's float64 figures, by the papers' formulas (numpy.linalg.pinv and eigh, numpy.percentile): 16 features, 5 classes. */
const path = new URL('../fixtures/reference/feature-scores.npz', import.meta.url);
const npz = readNpz(new Uint8Array(readFileSync(path)), 'feature-scores.npz');
const float32 = (name: string) => toFloat32(npz.get(name));
const float64 = (name: string) => npz.get(name).data as Float64Array;
const classes = 5;
const head = { weight: float32('weight'), bias: float32('bias') };
const training = { logits: float64('train_logits'), classes, features: float32('train_features'), head };
const input = { logits: float64('test_logits'), classes, features: float32('test_features'), head };

describe('scores of features agree with NumPy', () => {
  it.each(['knn', 'vim', 'gen', 'react', 'ash'])('%s', async (name) => {
    const score = findScore(name);
    const state = await fitArrays(score, training);
    const actual = scoreArrays(score, { ...input, state });
    const expected = float64(name);
    expect(actual).toHaveLength(expected.length);
    // Training features are kept as float32 by knn, whose distances near 0 are differences of numbers near 1.
    expected.forEach((value, n) => {
      expect(Math.abs(actual[n]! - value), `image ${n}`).toBeLessThan(name === 'knn' ? 1e-6 : 1e-9 * Math.abs(value));
    });
  });

  it.each(['mahalanobis', 'knn', 'vim', 'react', 'ash'])('%s refuses features that are not finite', async (name) => {
    const features = input.features.slice();
    features[3] = Number.NaN;
    const score = findScore(name);
    const labels = Int32Array.from({ length: 300 }, (_, i) => i % classes);
    const state = await fitArrays(score, { ...training, labels });
    expect(() => scoreArrays(score, { ...input, features, state })).toThrow(DataError);
    expect(() => scoreArrays(score, { ...input, features, state })).toThrow('feature 3 is NaN');
  });

  it.each(['mahalanobis', 'knn', 'vim', 'react'])('%s refuses to score before it is fitted', (name) => {
    expect(() => scoreArrays(findScore(name), input)).toThrow(UsageError);
    expect(() => scoreArrays(findScore(name), input)).toThrow(`${name} must be fitted on training images first`);
  });

  it('react, ash and vim need the last layer', () => {
    const { head: _, ...headless } = input;
    expect(() => scoreArrays(findScore('ash'), headless)).toThrow(
      "ash uses the last layer; give its weight and bias as 'head'",
    );
    const weight = head.weight.subarray(1);
    expect(() => scoreArrays(findScore('ash'), { ...input, head: { ...head, weight } })).toThrow(
      `the head has ${weight.length} weights and a bias of ${classes}`,
    );
  });

  it.each([
    [-1, 'label 7 is -1'],
    [classes, `label 7 is ${classes}`],
    [0.5, 'label 7 is 0.5'],
  ])('mahalanobis is not fitted with a label of %d', async (label, message) => {
    const labels = Array.from({ length: training.logits.length / classes }, (_, i) => (i === 7 ? label : i % classes));
    await expect(fitArrays(findScore('mahalanobis'), { ...training, labels })).rejects.toThrow(
      `${message}; the classes are 0 to ${classes - 1}`,
    );
    await expect(fitArrays(findScore('mahalanobis'), { ...training, labels: labels.slice(0, 7) })).rejects.toThrow(
      `7 labels for ${labels.length} training images; give one for each`,
    );
  });
});

describe('eigenvectors', () => {
  it('of a matrix with a zero eigenvalue and a double one', () => {
    const matrix = Float64Array.of(2, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 5);
    const { values, vectors } = symmetricEigen(matrix, 4);
    [0, 2, 2, 5].forEach((value, i) => {
      expect(values[i]).toBeCloseTo(value, 12);
    });
    for (let column = 0; column < 4; column++) {
      for (let i = 0; i < 4; i++) {
        let product = 0;
        for (let j = 0; j < 4; j++) product += matrix[i * 4 + j]! * vectors[j * 4 + column]!;
        expect(product).toBeCloseTo(values[column]! * vectors[i * 4 + column]!, 12);
      }
    }
  });
});
