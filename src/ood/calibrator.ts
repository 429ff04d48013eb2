import { DataError, UsageError } from '../errors.js';
import { betaBinomialInterval, betaQuantile } from './beta.js';
import type { Scores } from './metrics.js';

/** A fraction in percent, to two decimals. */
export const formatPercent = (fraction: number): string => `${Number((100 * fraction).toFixed(2))} %`;

/** What {@link Calibrator.toJSON} gives: all that a calibrator is. */
export interface CalibratorState {
  readonly accept: number;
  /** Ascending. */
  readonly scores: readonly number[];
}

/**
 * A threshold τ on a score, the higher the more in-distribution, fitted on held-out in-distribution images: the gate
 * G(x; τ) of Liu et al. 2020 (section 3.1) by split conformal prediction (Vovk, Gammerman & Shafer 2005). It needs no GPU:
 * scores may come from anywhere, but not from images that the network was trained on.
 */
export class Calibrator {
  /** The fraction of in-distribution inputs that is to be accepted. */
  readonly accept: number;
  /** The calibration scores, ascending. */
  readonly scores: Float64Array;
  /** τ: an input is accepted where its score is at least this. */
  readonly threshold: number;
  /** τ is the rank-th smallest calibration score, counted from 1. */
  private readonly rank: number;

  /**
   * @param scores of held-out in-distribution images, in any order
   * @param options.accept in (0, 1): 0.95 refuses 5 % of in-distribution inputs
   * @throws {DataError} if a score is not finite, or there are too few for this rate (fewer than accept / (1 - accept))
   * @throws {UsageError} if `accept` is not between 0 and 1
   */
  constructor(scores: Scores, { accept }: { accept: number }) {
    if (!(accept > 0 && accept < 1)) throw new UsageError(`the acceptance rate is ${accept}; give one between 0 and 1`);
    const sorted = Float64Array.from(scores).sort();
    const bad = sorted.find((score) => !Number.isFinite(score));
    if (bad !== undefined) throw new DataError(`a calibration score is ${bad}; every score must be finite`);
    // 1e-9 undoes the rounding of 1 - accept, as in 0.05 * 20; at the smallest rates it would round up past the last score.
    this.rank = Math.min(Math.floor((1 - accept) * (sorted.length + 1) + 1e-9), sorted.length);
    if (this.rank < 1) {
      throw new DataError(
        `${sorted.length} calibration scores are too few to accept ${formatPercent(accept)}; give at least ${Math.ceil(accept / (1 - accept) - 1e-9)}`,
      );
    }
    this.accept = accept;
    this.scores = sorted;
    this.threshold = sorted[this.rank - 1]!;
  }

  /**
   * One calibrator a class, each of the scores of the inputs that the network gave that class: the rate asked for then holds
   * for the inputs of every predicted class, and not only on average over them (Mondrian conformal prediction; Vovk et al. 2005).
   * @param labels the predicted class of each score, 0 to `classes` - 1
   * @param options.classNames for messages
   * @throws {DataError} if a class has too few scores, or labels do not fit
   */
  static perClass(
    scores: Scores,
    labels: ArrayLike<number>,
    classes: number,
    { accept, classNames }: { accept: number; classNames?: readonly string[] | undefined },
  ): Calibrator[] {
    if (labels.length !== scores.length) {
      throw new DataError(`${labels.length} labels for ${scores.length} scores; give one for each`);
    }
    const bad = Array.from(labels).find((label) => !(Number.isInteger(label) && label >= 0 && label < classes));
    if (bad !== undefined) throw new DataError(`a label is ${bad}; the classes are 0 to ${classes - 1}`);
    return Array.from({ length: classes }, (_, k) => {
      const own = Array.from(scores).filter((_, i) => labels[i] === k);
      try {
        return new Calibrator(own, { accept });
      } catch (error) {
        if (!(error instanceof DataError)) throw error;
        const name = classNames?.[k] ?? `class ${k}`;
        throw new DataError(`${name}: ${error.message}, or calibrate all classes together`, { cause: error });
      }
    });
  }

  /** Is an input of this score taken for in-distribution? The same as `pValue(score) > 1 - accept`, but for rounding. */
  accepts(score: number): boolean {
    return score >= this.threshold;
  }

  /**
   * The conformal p-value of a score, (1 + #{calibration scores <= score}) / (n + 1): of inputs from the calibration's
   * distribution, at most a fraction p has a p-value of p or less. Small: out of distribution.
   */
  pValue(score: number): number {
    if (Number.isNaN(score)) throw new DataError('a score of NaN has no p-value; check the logits');
    let low = 0;
    let high = this.scores.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.scores[middle]! <= score) low = middle + 1;
      else high = middle;
    }
    return (1 + low) / (this.scores.length + 1);
  }

  /**
   * Where the true acceptance rate of in-distribution inputs lies, with this confidence: it is distributed as
   * Beta(n + 1 - k, k) over calibration sets, τ being the k-th smallest of n scores (Vovk 2012). Central interval; with
   * tied scores the true rate may be higher.
   */
  bounds(confidence = 0.95): { lower: number; upper: number } {
    if (!(confidence > 0 && confidence < 1)) {
      throw new UsageError(`the confidence is ${confidence}; give one between 0 and 1`);
    }
    const a = this.scores.length + 1 - this.rank;
    const tail = (1 - confidence) / 2;
    return { lower: betaQuantile(tail, a, this.rank), upper: betaQuantile(1 - tail, a, this.rank) };
  }

  /**
   * Which fraction of `count` further in-distribution inputs will be accepted, with this confidence or more: wider than
   * {@link Calibrator.bounds}, since `count` inputs are a sample too (beta-binomial; Vovk 2012). With tied scores it may be more.
   */
  predict(count: number, confidence = 0.95): { lower: number; upper: number } {
    if (!(Number.isInteger(count) && count > 0)) {
      throw new UsageError(`${count} further inputs: give a whole number above 0`);
    }
    if (!(confidence > 0 && confidence < 1)) {
      throw new UsageError(`the confidence is ${confidence}; give one between 0 and 1`);
    }
    return betaBinomialInterval(count, this.scores.length + 1 - this.rank, this.rank, (1 - confidence) / 2);
  }

  /** The same scores at another acceptance rate. */
  at(accept: number): Calibrator {
    return new Calibrator(this.scores, { accept });
  }

  /** For `JSON.stringify`; {@link Calibrator.from} undoes it. */
  toJSON(): CalibratorState {
    return { accept: this.accept, scores: [...this.scores] };
  }

  static from({ accept, scores }: CalibratorState): Calibrator {
    return new Calibrator(scores, { accept });
  }
}
