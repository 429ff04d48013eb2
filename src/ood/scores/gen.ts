import type { Score } from './score.js';

const GAMMA = 0.1;
const TOP = 100;

/** Generalised entropy (Liu, Lochman and Zach 2023): -Σ_j p_j^γ (1 - p_j)^γ over the 100 largest probabilities; γ = 0.1. */
export const gen: Score = {
  description: 'negative generalised entropy, gamma 0.1, of the 100 largest probabilities (Liu et al. 2023)',
  score: ({ logits }) => ({
    numbers: [logits.generalisedEntropy(GAMMA, TOP)],
    finish: ([entropy]) => -entropy!,
  }),
};
