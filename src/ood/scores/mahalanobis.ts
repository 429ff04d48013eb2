import { DataError } from '../../errors.js';
import { symmetricEigen, unresolved, vectorTimes } from '../linear-algebra.js';
import { scatter } from '../scatter.js';
import { fitted, float64, rowsOf, type Score, type ScoreState } from './score.js';

const EPSILON = 0.0014;

/**
 * Mahalanobis (Lee et al. 2018), of the features alone: max_c -½ (h - μ_c)ᵀ P (h - μ_c), with class means μ and one tied
 * covariance (maximum likelihood, divided by n), whose inverse P is kept as `whitening` W, P = W Wᵀ: a distance is then a
 * sum of squares, which float32 keeps.
 */
export const mahalanobis: Score = {
  description: 'distance to the nearest class mean under one covariance (Lee et al. 2018; epsilon 0.0014)',
  options: ['epsilon'],
  uses: 'features',
  labelled: true,
  async fit({ logits, classes, labels }, on) {
    if (!labels) throw new DataError('mahalanobis is fitted on labelled images, but these have no labels');
    const count = rowsOf(logits, classes);
    const counts = new Float64Array(classes);
    for (let n = 0; n < count; n++) counts[labels[n]!]!++;
    const empty = counts.indexOf(0);
    if (empty >= 0) throw new DataError(`class ${empty} has no training image; mahalanobis needs some of every class`);
    const [sums] = await on.sum(({ features, labels }) => [labels.cross(features)]);
    const size = sums!.length / classes;
    const means = sums!.map((value, at) => value / counts[Math.floor(at / size)]!);
    const centres = means.map((value) => -value);
    const covariance = await scatter(on, ({ features, labels }) => features.plus(labels.times(centres)), count);
    const eigen = symmetricEigen(covariance, size);
    // Directions in which the training features do not vary at all say nothing: the pseudo-inverse leaves them out.
    const least = unresolved(eigen);
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
  score({ features }, { state }) {
    const { means, whitening, centre } = whitened(state);
    const z = features.plus(centre.map((value) => -value)).times(whitening);
    return { numbers: [z.fromNearest(means).squares()], finish: ([square]) => -square! / 2 };
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
