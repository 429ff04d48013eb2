import type { NdArray } from '../../formats/array.js';
import { fittedData, rowsOf, type Score } from './score.js';

const K = 50;

/**
 * Deep nearest neighbours (Sun et al. 2022): minus the distance of the feature, scaled to length 1, to the k-th nearest
 * of the training features; k = 50, as in their CIFAR experiments, or their number where that is less.
 */
export const knn: Score = {
  description: 'distance to the 50th nearest training feature, all of length 1 (Sun et al. 2022)',
  uses: 'features',
  async fit({ logits, classes }, on) {
    const [unit] = await on.each(({ features }) => [features.unit()]);
    const count = rowsOf(logits, classes);
    const bank: NdArray = { dtype: 'float32', shape: [count, unit!.length / count], data: Float32Array.from(unit!) };
    return { bank };
  },
  shapes: (size) => ({ bank: [-1, size] }),
  score({ features }, { state }) {
    const bank = fittedData('knn', state, 'bank');
    // The k largest products are the k least distances: 2 - 2 a·b.
    const k = Math.min(K, bank.length / features.columns);
    return {
      numbers: [features.unit().kthProduct(bank, k)],
      finish: ([product]) => -Math.sqrt(Math.max(0, 2 - 2 * product!)),
    };
  },
};
