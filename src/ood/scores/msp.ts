import { type Logits, mapRows, type Score, sumExp } from './score.js';

/**
 * The maximum softmax probability, max_k softmax(f(x))_k, of each image (Hendrycks and Gimpel 2017).
 * @returns N probabilities in [1/K, 1].
 * @throws {DataError} if a logit is not finite or the logits are not whole rows of `classes`.
 */
export function msp(logits: Logits, classes: number): Float64Array {
  return mapRows(logits, classes, (row, max) => 1 / sumExp(row, max, 1));
}

export const mspScore: Score = {
  description: 'maximum softmax probability (Hendrycks & Gimpel 2017)',
  score: ({ logits, classes }) => msp(logits, classes),
};
