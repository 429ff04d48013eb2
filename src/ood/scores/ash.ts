import { energyOfFeatures, type Score } from './score.js';

const PRUNED = 0.9;

/**
 * Activation shaping, ASH-S (Djurisic et al. 2023): of an image's features the least 90 % are set to 0, the rest scaled by
 * exp(sum before / sum after); then the energy.
 */
export const ash: Score = {
  description: 'energy with the least 90 % of the features removed and the rest scaled, ASH-S (Djurisic et al. 2023)',
  uses: 'features',
  score: (input) =>
    energyOfFeatures('ash', input, (row) => {
      const kept = row.length - Math.round(row.length * PRUNED);
      const order = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
      const shaped = new Float64Array(row.length);
      let after = 0;
      for (const i of order.slice(0, kept)) {
        shaped[i] = row[i]!;
        after += row[i]!;
      }
      const before = row.reduce((a, b) => a + b, 0);
      return after > 0 ? shaped.map((value) => value * Math.exp(before / after)) : shaped;
    }),
};
