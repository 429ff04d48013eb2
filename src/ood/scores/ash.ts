import { energyOfFeatures, type Score } from './score.js';

const PRUNED = 0.9;

/**
 * Activation shaping, ASH-S (Djurisic et al. 2023): of an image's features the least 90 % are set to 0, the rest scaled by
 * exp(sum before / sum after); then the energy.
 */
export const ash: Score = {
  description: 'energy with the least 90 % of the features removed and the rest scaled, ASH-S (Djurisic et al. 2023)',
  uses: 'features',
  score({ features }, settings) {
    const kept = features.columns - Math.round(features.columns * PRUNED);
    return energyOfFeatures('ash', features.prune(kept), settings);
  },
};
