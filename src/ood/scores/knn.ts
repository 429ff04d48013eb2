import { DataError } from '../../errors.js';
import type { NdArray } from '../../formats/array.js';
import { featureRows, fitted, type Score } from './score.js';

const K = 50;

/**
 * Deep nearest neighbours (Sun et al. 2022): minus the distance of the feature, scaled to length 1, to the k-th nearest
 * of the training features; k = 50, as in their CIFAR experiments, or their number where that is less.
 */
export const knn: Score = {
  description: 'distance to the 50th nearest training feature, all of length 1 (Sun et al. 2022)',
  uses: 'features',
  fit(training) {
    const { features, rows, size } = featureRows('knn', training);
    if (rows === 0) throw new DataError('knn is fitted on training images, but there are none');
    const bank: NdArray = { dtype: 'float32', shape: [rows, size], data: unitRows(features, size) };
    return { bank };
  },
  shapes: (size) => ({ bank: [-1, size] }),
  score(input) {
    fitted('knn', input.state, 'bank');
    const bank = input.state!.bank!.data as Float32Array;
    const { features, rows, size } = featureRows('knn', input);
    const queries = unitRows(features, size);
    const count = bank.length / size;
    const k = Math.min(K, count);
    return Float64Array.from({ length: rows }, (_, n) => {
      // The k largest products are the k least distances: 2 - 2 a·b.
      const products = new Float64Array(count);
      for (let m = 0; m < count; m++) {
        let sum = 0;
        for (let i = 0; i < size; i++) sum += queries[n * size + i]! * bank[m * size + i]!;
        products[m] = sum;
      }
      return -Math.sqrt(Math.max(0, 2 - 2 * products.sort()[count - k]!));
    });
  },
};

/** Rows scaled to length 1; rows of zeros stay. */
function unitRows(features: Float32Array, size: number): Float32Array {
  const unit = new Float32Array(features.length);
  for (let at = 0; at < features.length; at += size) {
    let square = 0;
    for (let i = at; i < at + size; i++) square += features[i]! ** 2;
    const scale = square > 0 ? 1 / Math.sqrt(square) : 0;
    for (let i = at; i < at + size; i++) unit[i] = features[i]! * scale;
  }
  return unit;
}
