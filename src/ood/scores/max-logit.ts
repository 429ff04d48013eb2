import { type Logits, mapRows, type Score } from './score.js';

/**
 * The maximum logit, max_k f_k(x), of each image (Hendrycks et al. 2022).
 * @returns N scores, in the unit of the logits.
 * @throws {DataError} if a logit is not finite or the logits are not whole rows of `classes`.
 */
export function maxLogit(logits: Logits, classes: number): Float64Array {
  return mapRows({ logits, classes }, (exponentials) => exponentials[0]!);
}

export const maxLogitScore: Score = {
  description: 'maximum logit (Hendrycks et al. 2022)',
  score: ({ logits }) => ({ numbers: [logits.exponentials(1)], finish: ([largest]) => largest! }),
};
