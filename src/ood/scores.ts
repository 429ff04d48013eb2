import { UsageError } from '../errors.js';
import { ash } from './scores/ash.js';
import { energyScore } from './scores/energy.js';
import { gen } from './scores/gen.js';
import { knn } from './scores/knn.js';
import { mahalanobis } from './scores/mahalanobis.js';
import { maxLogitScore } from './scores/max-logit.js';
import { mspScore } from './scores/msp.js';
import { odin } from './scores/odin.js';
import { react } from './scores/react.js';
import type { Score } from './scores/score.js';
import { vim } from './scores/vim.js';

export { finishRows, fitArrays, scoreArrays } from './array-rows.js';
export { type EnergyOptions, energy } from './scores/energy.js';
export { maxLogit } from './scores/max-logit.js';
export { msp } from './scores/msp.js';
export * from './scores/score.js';
export { checkScoreState } from './scores/state.js';

/** Every score by the name the command line calls it: one file and one line each. */
export const SCORES: Readonly<Record<string, Score>> = {
  msp: mspScore,
  energy: energyScore,
  maxlogit: maxLogitScore,
  odin,
  mahalanobis,
  knn,
  vim,
  gen,
  react,
  ash,
};

/** @throws {UsageError} if no score is called `name`. */
export function findScore(name: string): Score {
  if (!Object.hasOwn(SCORES, name)) {
    throw new UsageError(`there is no score '${name}'; choose from ${Object.keys(SCORES).join(', ')}`);
  }
  return SCORES[name]!;
}
