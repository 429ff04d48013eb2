import { DataError, UsageError } from '../../errors.js';
import type { NdArray } from '../../formats/array.js';
import type { Computer, ImageRows, Rows } from '../rows.js';

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

/** What a score is computed with, beside rows of images. */
export interface ScoreSettings extends ScoreOptions {
  /** K, the number of logits of an image. */
  classes: number;
  head?: Head | undefined;
  /** What {@link Score.fit} gave. */
  state?: ScoreState | undefined;
}

/** What a score may be computed from. */
export interface ScoreInput extends ScoreSettings {
  logits: Logits;
  /** [N, D], the input of the last layer. */
  features?: Float32Array | undefined;
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

/** How a score is made: a few numbers an image, computed wherever the rows are, and the score of these, in float64. */
export interface Scoring {
  readonly numbers: readonly Rows[];
  /** @param numbers of one image, a list for each of the above */
  finish(...numbers: readonly Float64Array[]): number;
}

/** An out-of-distribution score: one number an image, the higher the more in-distribution. */
export interface Score {
  /** One line for `--help`. */
  readonly description: string;
  /** The options that it takes. */
  readonly options?: readonly (keyof ScoreOptions)[];
  /** It needs more than logits. */
  readonly uses?: 'features';
  /** What it is fitted on must have labels. */
  readonly labelled?: true;
  /** @throws {DataError} where there are too few images, or no labels and it needs them */
  fit?(training: FitInput, on: Computer): Promise<ScoreState>;
  /** The shapes of what {@link Score.fit} gives, for features of this size; -1 is any number above 0. */
  shapes?(size: number, classes: number): Readonly<Record<string, readonly number[]>>;
  /** The input step that the outputs it is given must have been made with; none where ε is 0. */
  perturbation?(options: ScoreOptions, state: ScoreState | undefined): Perturbation | undefined;
  /** @throws {UsageError} where an option is out of range, or it needs what is not there */
  score(images: ImageRows, settings: ScoreSettings): Scoring;
}

/** {@link Rows.exponentials} of one row of logits. */
export type Exponentials = ArrayLike<number>;

/** {@link Rows.exponentials} of one row of logits, in float64. */
export function exponentialsOf(logits: Logits, temperature: number): Exponentials {
  let best = 0;
  for (let k = 1; k < logits.length; k++) if (logits[k]! > logits[best]!) best = k;
  let others = 0;
  let excess = 0;
  for (let k = 0; k < logits.length; k++) {
    if (k === best) continue;
    const difference = (logits[k]! - logits[best]!) / temperature;
    others += Math.exp(difference);
    excess += Math.expm1(difference);
  }
  return [logits[best]!, others, excess];
}

/** T log Σ_k exp(f_k/T) over K `classes`. */
export function logSumExp(exponentials: Exponentials, classes: number, temperature = 1): number {
  const [largest, others, excess] = [exponentials[0]!, exponentials[1]!, exponentials[2]!];
  const log = others < classes / 2 ? Math.log1p(others) : Math.log(classes) + Math.log1p(excess / classes);
  return largest + temperature * log;
}

/** max_k softmax(f/T)_k over K `classes`. */
export function maxSoftmax(exponentials: Exponentials, classes: number): number {
  const [others, excess] = [exponentials[1]!, exponentials[2]!];
  return 1 / (others < classes / 2 ? 1 + others : classes + excess);
}

/**
 * f of {@link Exponentials} of each row of logits.
 * @throws {DataError} if a logit is not finite or they are not whole rows of `classes`
 */
export function mapRows(
  { logits, classes, temperature = 1 }: Pick<ScoreInput, 'logits' | 'classes' | 'temperature'>,
  f: (exponentials: Exponentials) => number,
): Float64Array {
  const { count } = sizesOf({ logits, classes });
  return Float64Array.from({ length: count }, (_, n) =>
    f(exponentialsOf(logits.slice(n * classes, (n + 1) * classes), temperature)),
  );
}

/** Logits over it, and its inverse, are far from what float32 cannot hold. */
const LEAST_TEMPERATURE = 1e-15;

/** Whether it is a positive number that float32 computes with. */
export const isTemperature = (value: unknown): boolean =>
  typeof value === 'number' && value >= LEAST_TEMPERATURE && value <= 1 / LEAST_TEMPERATURE;

/** @throws {UsageError} if it is not {@link isTemperature}. */
export function checkTemperature(temperature: number): void {
  if (!isTemperature(temperature)) {
    throw new UsageError(
      `the temperature is ${temperature}; it must be a positive number, from ${LEAST_TEMPERATURE} to ${1 / LEAST_TEMPERATURE}`,
    );
  }
}

/** An array that was fitted. @throws {UsageError} where the score was not */
export function fitted(name: string, state: ScoreState | undefined, key: string): Float64Array {
  return Float64Array.from(fittedData(name, state, key));
}

/** The same without a copy, for what is large. */
export function fittedData(name: string, state: ScoreState | undefined, key: string): Float64Array | Float32Array {
  const array = state?.[key];
  if (!array) throw new UsageError(`${name} must be fitted on training images first`);
  return array.data as Float64Array | Float32Array;
}

/** float64 of a shape. */
export const float64 = (shape: readonly number[], data: Float64Array): NdArray => ({ dtype: 'float64', shape, data });

/** The score of logits that the last layer makes of changed features: logsumexp(weight features + bias). */
export function energyOfFeatures(name: string, features: Rows, { head, classes }: ScoreSettings): Scoring {
  if (!head) throw new UsageError(`${name} uses the last layer; give its weight and bias as 'head'`);
  const { weight, bias } = head;
  const size = features.columns;
  const transposed = Float64Array.from(weight, (_, at) => weight[(at % classes) * size + Math.floor(at / classes)]!);
  const logits = features.times(transposed, Float64Array.from(bias));
  return { numbers: [logits.exponentials(1)], finish: (exponentials) => logSumExp(exponentials, classes) };
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

/**
 * N and D, of what a network said of images.
 * @throws {DataError} where logits or features are not whole rows, or one is not finite, or the head is of another size
 */
export function sizesOf({
  logits,
  classes,
  features,
  head,
}: Pick<ScoreInput, 'logits' | 'classes' | 'features' | 'head'>): { count: number; size: number } {
  const count = rowsOf(logits, classes);
  for (let at = 0; at < logits.length; at++) {
    if (Number.isFinite(logits[at])) continue;
    const row = Math.floor(at / classes);
    throw new DataError(`row ${row} of the logits holds ${logits[at]}; every logit must be finite`);
  }
  if (!features || count === 0) return { count, size: 0 };
  const size = features.length / count;
  if (!Number.isInteger(size))
    throw new DataError(`${features.length} features are not whole rows for ${count} images`);
  const bad = features.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new DataError(`feature ${bad} is ${features[bad]}; every feature must be finite`);
  if (head && (head.weight.length !== classes * size || head.bias.length !== classes)) {
    throw new DataError(
      `the head has ${head.weight.length} weights and a bias of ${head.bias.length}; ${classes} classes of ${size} features take ${classes * size} and ${classes}`,
    );
  }
  return { count, size };
}

/** The same of training images. @throws {DataError} where there are none, or labels are not a class number each, too */
export function trainingSizes(training: FitInput): { count: number; size: number } {
  const sizes = sizesOf(training);
  if (sizes.count === 0) throw new DataError('scores are fitted on training images, but there are none');
  const { labels, classes } = training;
  if (labels && labels.length !== sizes.count) {
    throw new DataError(`${labels.length} labels for ${sizes.count} training images; give one for each`);
  }
  const bad = Array.from(labels ?? []).findIndex((k) => !(Number.isInteger(k) && k >= 0 && k < classes));
  if (bad >= 0) throw new DataError(`label ${bad} is ${labels![bad]}; the classes are 0 to ${classes - 1}`);
  return sizes;
}
