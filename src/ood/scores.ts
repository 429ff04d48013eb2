import { DataError, UsageError } from '../errors.js';

/** Logits of N images over K classes, row-major: image n's are at `[n·K, (n+1)·K)`. */
export type Logits = Float32Array | Float64Array | readonly number[];

export interface EnergyOptions {
  /** T > 0; 1 by default. Only the energy depends on it, not `msp` or `maxLogit`. */
  temperature?: number;
}

/** What a score may be computed from. */
export interface ScoreInput extends EnergyOptions {
  logits: Logits;
  /** K, the number of logits of an image. */
  classes: number;
}

/** An out-of-distribution score: one number an image, the higher the more in-distribution. */
export interface Score {
  /** One line for `--help`. */
  readonly description: string;
  /** @returns N scores. */
  score(input: ScoreInput): Float64Array;
}

/** Every score by the name the command line calls it. */
export const SCORES: Readonly<Record<string, Score>> = {
  msp: {
    description: 'maximum softmax probability',
    score: ({ logits, classes }) => msp(logits, classes),
  },
  energy: {
    description: 'negative energy, T·logsumexp(f/T)',
    score: ({ logits, classes, temperature = 1 }) => energy(logits, classes, { temperature }).map((e) => -e),
  },
  maxlogit: {
    description: 'maximum logit',
    score: ({ logits, classes }) => maxLogit(logits, classes),
  },
};

/** @throws {UsageError} if no score is called `name`. */
export function findScore(name: string): Score {
  if (!Object.hasOwn(SCORES, name)) {
    throw new UsageError(`there is no score '${name}'; choose from ${Object.keys(SCORES).join(', ')}`);
  }
  return SCORES[name]!;
}

/**
 * The free energy E(x) = -T·log Σ_k exp(f_k(x)/T) of each image: the LOWER, the more in-distribution (Liu et al. 2020,
 * equation 4). The score is its negative.
 * @returns N energies, in the unit of the logits.
 * @throws {DataError} if a logit is not finite or the logits are not whole rows of `classes`.
 * @throws {UsageError} if the temperature is not a positive number.
 */
export function energy(logits: Logits, classes: number, { temperature = 1 }: EnergyOptions = {}): Float64Array {
  if (!(temperature > 0 && temperature < Infinity)) {
    throw new UsageError(`the temperature is ${temperature}; it must be a positive number`);
  }
  return mapRows(logits, classes, (row, max) => -max - temperature * Math.log(sumExp(row, max, temperature)));
}

/**
 * The maximum softmax probability, max_k softmax(f(x))_k, of each image (Hendrycks and Gimpel 2017).
 * @returns N probabilities in [1/K, 1].
 * @throws {DataError} if a logit is not finite or the logits are not whole rows of `classes`.
 */
export function msp(logits: Logits, classes: number): Float64Array {
  return mapRows(logits, classes, (row, max) => 1 / sumExp(row, max, 1));
}

/**
 * The maximum logit, max_k f_k(x), of each image (Hendrycks et al. 2022).
 * @returns N scores, in the unit of the logits.
 * @throws {DataError} if a logit is not finite or the logits are not whole rows of `classes`.
 */
export function maxLogit(logits: Logits, classes: number): Float64Array {
  return mapRows(logits, classes, (_, max) => max);
}

/** Σ_k exp((f_k - max)/T): at least 1 and at most K, however large the logits. */
function sumExp(row: Logits, max: number, temperature: number): number {
  let sum = 0;
  for (const value of row) sum += Math.exp((value - max) / temperature);
  return sum;
}

function mapRows(logits: Logits, classes: number, f: (row: Logits, max: number) => number): Float64Array {
  const rows = rowsOf(logits, classes);
  const result = new Float64Array(rows);
  for (let n = 0; n < rows; n++) {
    const row = logits.slice(n * classes, (n + 1) * classes);
    let max = -Infinity;
    for (const value of row) {
      if (!Number.isFinite(value))
        throw new DataError(`row ${n} of the logits holds ${value}; every logit must be finite`);
      max = Math.max(max, value);
    }
    result[n] = f(row, max);
  }
  return result;
}

/**
 * N, the number of images these logits are of.
 * @throws {DataError} if they are not whole rows of `classes`.
 */
export function rowsOf(logits: Logits, classes: number): number {
  if (!(Number.isInteger(classes) && classes > 0)) {
    throw new DataError(`${classes} classes: their number must be a positive integer`);
  }
  if (logits.length % classes !== 0) {
    throw new DataError(`${logits.length} logits are not whole rows of ${classes} classes`);
  }
  return logits.length / classes;
}
