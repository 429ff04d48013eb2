import { mapRows, type Score } from './score.js';

const GAMMA = 0.1;
const TOP = 100;

/** Generalised entropy (Liu, Lochman and Zach 2023): -Σ_j p_j^γ (1 - p_j)^γ over the 100 largest probabilities; γ = 0.1. */
export const gen: Score = {
  description: 'negative generalised entropy, gamma 0.1, of the 100 largest probabilities (Liu et al. 2023)',
  score: ({ logits, classes }) =>
    mapRows(logits, classes, (row, max) => {
      const weights = Float64Array.from(row, (value) => Math.exp(value - max))
        .sort()
        .reverse();
      const total = weights.reduce((a, b) => a + b, 0);
      let sum = 0;
      for (const [j, weight] of weights.subarray(0, TOP).entries()) {
        // Summed from the others: 1 - p loses its digits where p is nearly 1.
        let others = 0;
        if (j === 0) for (let k = 1; k < weights.length; k++) others += weights[k]!;
        else others = total - weight;
        sum += ((weight / total) * (others / total)) ** GAMMA;
      }
      return -sum;
    }),
};
