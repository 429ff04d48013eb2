import { DataError } from '../../errors.js';
import { cutoff, scatter, symmetricEigen, vectorTimes } from '../linear-algebra.js';
import { featureRows, fitted, float64, type Score, type ScoreState } from './score.js';

const EPSILON = 0.0014;

/**
 * Mahalanobis (Lee et al. 2018), of the features alone: max_c -½ (h - μ_c)ᵀ P (h - μ_c), with class means μ and one tied
 * covariance (maximum likelihood, divided by n), whose inverse P is kept as `whitening` W, P = W Wᵀ: a distance is then a
 * sum of squares, which float32 keeps.
 */
export const mahalanobis: Score = {
  description: 'distance to the nearest class mean under one covariance (Lee et al. 2018; epsilon 0.0014)',
  uses: 'features',
  labelled: true,
  fit({ logits, classes, features: given, labels }) {
    const { features, rows, size } = featureRows('mahalanobis', { features: given, logits, classes });
    if (!labels) throw new DataError('mahalanobis is fitted on labelled images, but these have no labels');
    const means = new Float64Array(classes * size);
    const counts = new Float64Array(classes);
    for (let n = 0; n < rows; n++) {
      counts[labels[n]!]!++;
      for (let i = 0; i < size; i++) means[labels[n]! * size + i] += features[n * size + i]!;
    }
    const empty = counts.indexOf(0);
    if (empty >= 0) throw new DataError(`class ${empty} has no training image; mahalanobis needs some of every class`);
    for (let i = 0; i < means.length; i++) means[i] /= counts[Math.floor(i / size)]!;
    const eigen = symmetricEigen(
      scatter(features, size, means, (n) => labels[n]!),
      size,
    );
    // Directions in which the training features do not vary at all say nothing: the pseudo-inverse leaves them out.
    const least = cutoff(eigen);
    const whitening = eigen.vectors.map((value, at) => {
      const variance = eigen.values[at % size]!;
      return variance > least ? value / Math.sqrt(variance) : 0;
    });
    return { means: float64([classes, size], means), whitening: float64([size, size], whitening) };
  },
  shapes: (size, classes) => ({ means: [classes, size], whitening: [size, size] }),
  perturbation({ epsilon = EPSILON }, state) {
    if (epsilon === 0) return undefined;
    const { means, whitening, centre, size } = whitened(state);
    return {
      epsilon,
      of: 'mahalanobis',
      matrix: Float32Array.from(whitening),
      bias: Float32Array.from(vectorTimes(centre, whitening, size), (value) => -value),
      means: Float32Array.from(means),
    };
  },
  score(input) {
    const { means, whitening, centre, size } = whitened(input.state);
    const { features, rows } = featureRows('mahalanobis', input);
    const scores = new Float64Array(rows).fill(-Infinity);
    const h = new Float64Array(size);
    for (let n = 0; n < rows; n++) {
      for (let i = 0; i < size; i++) h[i] = features[n * size + i]! - centre[i]!;
      const z = vectorTimes(h, whitening, size);
      for (let c = 0; c < means.length; c += size) {
        let square = 0;
        for (let i = 0; i < size; i++) square += (z[i]! - means[c + i]!) ** 2;
        scores[n] = Math.max(scores[n]!, -square / 2);
      }
    }
    return scores;
  },
};

/** Class means, less their mean `centre`, through the whitening. */
function whitened(state: ScoreState | undefined) {
  const raw = fitted('mahalanobis', state, 'means');
  const whitening = fitted('mahalanobis', state, 'whitening');
  const size = Math.sqrt(whitening.length);
  const classes = raw.length / size;
  const centre = new Float64Array(size);
  raw.forEach((value, at) => {
    centre[at % size] += value / classes;
  });
  const means = new Float64Array(raw.length);
  for (let c = 0; c < classes; c++) {
    const difference = centre.map((value, i) => raw[c * size + i]! - value);
    means.set(vectorTimes(difference, whitening, size), c * size);
  }
  return { means, whitening, centre, size };
}
