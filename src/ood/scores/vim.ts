import { cutoff, symmetricEigen, vectorTimes } from '../linear-algebra.js';
import type { ImageRows, Rows } from '../rows.js';
import { scatter } from '../scatter.js';
import { fitted, float64, type Head, logSumExp, rowsOf, type Score, type ScoreState } from './score.js';

/** The dimension of the principal space, as the authors choose it by the number of features. */
const principalDimension = (size: number) => (size >= 2048 ? 1000 : size >= 768 ? 512 : Math.floor(size / 2));

/**
 * Virtual-logit matching (Wang et al. 2022): logsumexp(f) - α‖x^⊥‖, where x^⊥ is what of the feature, from the origin
 * o = -W⁺b, lies outside the principal space of the training features, and α makes it as large as the largest logits.
 */
export const vim: Score = {
  description: 'energy less the part of the feature outside the principal space (Wang et al. 2022)',
  uses: 'features',
  async fit({ logits, classes, head }, on) {
    const count = rowsOf(logits, classes);
    const origin = originOf(head);
    const size = origin.length;
    const away = origin.map((value) => -value);
    const { vectors } = symmetricEigen(await scatter(on, ({ features }) => features.plus(away), count), size);
    // Eigenvalues ascend: the residual space is the first columns.
    const kept = size - principalDimension(size);
    const residual = new Float64Array(size * kept);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < kept; j++) residual[i * kept + j] = vectors[i * size + j]!;
    }
    const state = { origin: float64([size], origin), residual: float64([size, kept], residual) };
    const [exponentials, squares] = await on.each((images) => numbersOf(images, state));
    let largest = 0;
    for (let at = 0; at < exponentials!.length; at += 3) largest += exponentials![at]!;
    const norms = squares!.reduce((sum, square) => sum + Math.sqrt(square), 0);
    return { ...state, alpha: float64([], Float64Array.of(norms > 0 ? largest / norms : 0)) };
  },
  shapes: (size) => ({ origin: [size], residual: [size, -1], alpha: [] }),
  score(images, { classes, state }) {
    const [alpha] = fitted('vim', state, 'alpha');
    return {
      numbers: numbersOf(images, state),
      finish: (exponentials, [square]) => logSumExp(exponentials!, classes) - alpha! * Math.sqrt(square!),
    };
  },
};

/** Of the logits, and the squared length of what of the feature lies outside the principal space. */
function numbersOf({ logits, features }: ImageRows, state: ScoreState | undefined): [Rows, Rows] {
  const away = fitted('vim', state, 'origin').map((value) => -value);
  const outside = features.plus(away).times(fitted('vim', state, 'residual'));
  return [logits.exponentials(1), outside.squares()];
}

/** -W⁺b, where the logits are zero: W⁺ = Wᵀ (W Wᵀ)⁺. */
function originOf({ weight, bias }: Head): Float64Array {
  const classes = bias.length;
  const size = weight.length / classes;
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
