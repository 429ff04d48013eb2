import { checkTemperature, type Logits, logSumExp, mapRows, type Score } from './score.js';

export interface EnergyOptions {
  /** T > 0; 1 by default. */
  temperature?: number;
}

/**
 * The free energy E(x) = -T·log Σ_k exp(f_k(x)/T) of each image: the LOWER, the more in-distribution (Liu et al. 2020,
 * equation 4). The score is its negative.
 * @returns N energies, in the unit of the logits.
 * @throws {DataError} if a logit is not finite or the logits are not whole rows of `classes`.
 * @throws {UsageError} if the temperature is not a positive number.
 */
export function energy(logits: Logits, classes: number, { temperature = 1 }: EnergyOptions = {}): Float64Array {
  checkTemperature(temperature);
  return mapRows({ logits, classes, temperature }, (exponentials) => -logSumExp(exponentials, classes, temperature));
}

export const energyScore: Score = {
  description: 'negative energy, T·logsumexp(f/T) (Liu et al. 2020)',
  options: ['temperature'],
  score({ logits }, { classes, temperature = 1 }) {
    checkTemperature(temperature);
    return {
      numbers: [logits.exponentials(temperature)],
      finish: (exponentials) => logSumExp(exponentials, classes, temperature),
    };
  },
};
