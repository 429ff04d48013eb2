import { DataError, UsageError } from '../../errors.js';
import type { NdArray } from '../../formats/array.js';

/** Logits of N images over K classes, row-major: image n's are at `[n·K, (n+1)·K)`. */
export type Logits = Float32Array | Float64Array | readonly number[];

/** What users set; each score has defaults of its own. */
export interface ScoreOptions {
  /** T > 0, of the energy (1 by default) and of ODIN (1000 by default). */
  temperature?: number | undefined;
  /** ε ≥ 0, the input step of ODIN and Mahalanobis (0.0014 by default), in units of pixels in [0, 1] over the deviation. */
  epsilon?: number | undefined;
}

/** The last layer: logits = features weightᵀ + bias. */
export interface Head {
  /** [K, D] */
  readonly weight: Float32Array;
  /** [K] */
  readonly bias: Float32Array;
}

/** What a score learns of training images: arrays by name. */
export type ScoreState = Readonly<Record<string, NdArray>>;

/** What a score may be computed from. */
export interface ScoreInput extends ScoreOptions {
  logits: Logits;
  /** K, the number of logits of an image. */
  classes: number;
  /** [N, D], the input of the last layer. */
  features?: Float32Array | undefined;
  head?: Head | undefined;
  /** What {@link Score.fit} gave. */
  state?: ScoreState | undefined;
}

/** What a score is fitted on: training images, in evaluation mode and not augmented. */
export interface FitInput {
  readonly logits: Logits;
  readonly classes: number;
  /** [N, D] */
  readonly features: Float32Array;
  /** N class numbers, where the images have any. */
  readonly labels?: ArrayLike<number> | undefined;
  readonly head: Head;
}

/** A step on the normalised input, x - ε sign(∂/∂x) / std, before the network is asked. */
export type Perturbation = { readonly epsilon: number } & (
  | { readonly of: 'cross-entropy'; readonly temperature: number }
  | {
      readonly of: 'mahalanobis';
      /** Features h are whitened to z = h `matrix` + `bias`, and compared with `means`. Row-major: [D, D], [D], [K, D]. */
      readonly matrix: Float32Array;
      readonly bias: Float32Array;
      readonly means: Float32Array;
    }
);

/** An out-of-distribution score: one number an image, the higher the more in-distribution. */
export interface Score {
  /** One line for `--help`. */
  readonly description: string;
  /** It needs more than logits. */
  readonly uses?: 'features';
  /** What it is fitted on must have labels. */
  readonly labelled?: true;
  /** @throws {DataError} where there are too few images, or no labels and it needs them */
  fit?(training: FitInput): ScoreState;
  /** The shapes of what {@link Score.fit} gives, for features of this size; -1 is any number above 0. */
  shapes?(size: number, classes: number): Readonly<Record<string, readonly number[]>>;
  /** The input step that the outputs it is given must have been made with; none where ε is 0. */
  perturbation?(options: ScoreOptions, state: ScoreState | undefined): Perturbation | undefined;
  /** @returns N scores. */
  score(input: ScoreInput): Float64Array;
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

/** f of each row of logits and its largest. @throws {DataError} if a logit is not finite */
export function mapRows(logits: Logits, classes: number, f: (row: Logits, max: number) => number): Float64Array {
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

/** Σ_k exp((f_k - max)/T): at least 1 and at most K, however large the logits. */
export function sumExp(row: Logits, max: number, temperature: number): number {
  let sum = 0;
  for (const value of row) sum += Math.exp((value - max) / temperature);
  return sum;
}

/** @throws {UsageError} if the temperature is not a positive number. */
export function checkTemperature(temperature: number): void {
  if (!(temperature > 0 && temperature < Infinity)) {
    throw new UsageError(`the temperature is ${temperature}; it must be a positive number`);
  }
}

/** Features as rows: their number and size. @throws {UsageError} where the score was given none */
export function featureRows(
  name: string,
  { features, logits, classes }: Pick<ScoreInput, 'features' | 'logits' | 'classes'>,
): { features: Float32Array; rows: number; size: number } {
  if (!features) throw new UsageError(`${name} is a score of features; give them beside the logits`);
  const rows = rowsOf(logits, classes);
  const size = rows === 0 ? 0 : features.length / rows;
  if (!Number.isInteger(size)) throw new DataError(`${features.length} features are not whole rows for ${rows} images`);
  const bad = features.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new DataError(`feature ${bad} is ${features[bad]}; every feature must be finite`);
  return { features, rows, size };
}

/** The last layer. @throws {UsageError} where the score was given none */
export function headOf(name: string, head: Head | undefined): Head {
  if (!head) throw new UsageError(`${name} uses the last layer; give its weight and bias as 'head'`);
  return head;
}

/** An array that was fitted. @throws {UsageError} where the score was not */
export function fitted(name: string, state: ScoreState | undefined, key: string): Float64Array {
  const array = state?.[key];
  if (!array) throw new UsageError(`${name} must be fitted on training images first`);
  return Float64Array.from(array.data as Float64Array);
}

/** float64 of a shape. */
export const float64 = (shape: readonly number[], data: Float64Array): NdArray => ({ dtype: 'float64', shape, data });

/** The energy of features after `change`: -E = logsumexp(weight features + bias), of each image. */
export function energyOfFeatures(
  name: string,
  input: ScoreInput,
  change: (row: Float64Array) => Float64Array,
): Float64Array {
  const { features, rows, size } = featureRows(name, input);
  const { weight, bias } = headOf(name, input.head);
  const scores = new Float64Array(rows);
  for (let n = 0; n < rows; n++) {
    const row = change(Float64Array.from(features.subarray(n * size, (n + 1) * size)));
    const logits = Array.from(bias, (b, k) => row.reduce((sum, h, i) => sum + h * weight[k * size + i]!, b));
    const max = Math.max(...logits);
    scores[n] = max + Math.log(sumExp(logits, max, 1));
  }
  return scores;
}
