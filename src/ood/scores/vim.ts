import { DataError } from '../../errors.js';
import { cutoff, scatter, symmetricEigen, vectorTimes } from '../linear-algebra.js';
import { energy } from './energy.js';
import { featureRows, fitted, float64, type Head, type Score } from './score.js';

/** The dimension of the principal space, as the authors choose it by the number of features. */
const principalDimension = (size: number) => (size >= 2048 ? 1000 : size >= 768 ? 512 : Math.floor(size / 2));

/**
 * Virtual-logit matching (Wang et al. 2022): logsumexp(f) - α‖x^⊥‖, where x^⊥ is what of the feature, from the origin
 * o = -W⁺b, lies outside the principal space of the training features, and α makes it as large as the largest logits.
 */
export const vim: Score = {
  description: 'energy less the part of the feature outside the principal space (Wang et al. 2022)',
  uses: 'features',
  fit(training) {
    const { features, rows, size } = featureRows('vim', training);
    const { logits, classes, head } = training;
    if (rows === 0) throw new DataError('vim is fitted on training images, but there are none');
    const origin = originOf(head, size);
    const { vectors } = symmetricEigen(
      scatter(features, size, origin, () => 0),
      size,
    );
    // Eigenvalues ascend: the residual space is the first columns.
    const kept = size - principalDimension(size);
    const residual = new Float64Array(size * kept);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < kept; j++) residual[i * kept + j] = vectors[i * size + j]!;
    }
    let logitSum = 0;
    for (let n = 0; n < rows; n++) {
      let max = -Infinity;
      for (let k = 0; k < classes; k++) max = Math.max(max, logits[n * classes + k]!);
      logitSum += max;
    }
    const norms = residualNorms(features, size, origin, residual);
    const total = norms.reduce((a, b) => a + b, 0);
    const alpha = total > 0 ? logitSum / total : 0;
    return {
      origin: float64([size], origin),
      residual: float64([size, kept], residual),
      alpha: float64([], Float64Array.of(alpha)),
    };
  },
  shapes: (size) => ({ origin: [size], residual: [size, -1], alpha: [] }),
  score(input) {
    const [alpha] = fitted('vim', input.state, 'alpha');
    const { features, size } = featureRows('vim', input);
    const norms = residualNorms(
      features,
      size,
      fitted('vim', input.state, 'origin'),
      fitted('vim', input.state, 'residual'),
    );
    return energy(input.logits, input.classes).map((e, n) => -e - alpha! * norms[n]!);
  },
};

/** -W⁺b, where the logits are zero: W⁺ = Wᵀ (W Wᵀ)⁺. */
function originOf({ weight, bias }: Head, size: number): Float64Array {
  const classes = bias.length;
  const gram = new Float64Array(classes * classes);
  for (let a = 0; a < classes; a++) {
    for (let b = 0; b < classes; b++) {
      for (let i = 0; i < size; i++) gram[a * classes + b] += weight[a * size + i]! * weight[b * size + i]!;
    }
  }
  const eigen = symmetricEigen(gram, classes);
  const least = cutoff(eigen);
  const inBasis = vectorTimes(bias, eigen.vectors, classes).map((value, k) =>
    eigen.values[k]! > least ? value / eigen.values[k]! : 0,
  );
  const origin = new Float64Array(size);
  for (let k = 0; k < classes; k++) {
    let coefficient = 0;
    for (let j = 0; j < classes; j++) coefficient += eigen.vectors[k * classes + j]! * inBasis[j]!;
    for (let i = 0; i < size; i++) origin[i] -= coefficient * weight[k * size + i]!;
  }
  return origin;
}

function residualNorms(features: Float32Array, size: number, origin: Float64Array, residual: Float64Array) {
  const kept = residual.length / size;
  return Float64Array.from({ length: features.length / size }, (_, n) =>
    Math.hypot(
      ...vectorTimes(
        origin.map((o, i) => features[n * size + i]! - o),
        residual,
        kept,
      ),
    ),
  );
}
