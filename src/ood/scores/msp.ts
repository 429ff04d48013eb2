import { type Logits, mapRows, maxSoftmax, type Score } from './score.js';

/**
 * The maximum softmax probability, max_k softmax(f(x))_k, of each image (Hendrycks and Gimpel 2017).
 * @returns N probabilities in [1/K, 1].
 * @throws {DataError} if a logit is not finite or the logits are not whole rows of `classes`.
 */
export function msp(logits: Logits, classes: number): Float64Array {
  return mapRows({ logits, classes }, (exponentials) => maxSoftmax(exponentials, classes));
}

export const mspScore: Score = {
  description: 'maximum softmax probability (Hendrycks & Gimpel 2017)',
  score: ({ logits }, { classes }) => ({
    numbers: [logits.exponentials(1)],
    finish: (exponentials) => maxSoftmax(exponentials, classes),
  }),
};
