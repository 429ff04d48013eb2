import { DataError, UsageError } from '../errors.js';

/** Scores of N images, the higher the more in-distribution. Infinities are ranked, NaN is refused. */
export type Scores = Float32Array | Float64Array | readonly number[];

/** How well scores tell in-distribution images from the others, in fractions of 1. */
export interface Metrics {
  /** The false positive rate where 95 % of the positives are found. */
  fpr95: number;
  /** The area under the ROC curve: it is the same whichever class is positive. */
  auroc: number;
  /** The area under the precision-recall curve, in-distribution images positive. */
  aupr_in: number;
  /** The area under the precision-recall curve, out-of-distribution images positive. */
  aupr_out: number;
}

/** Which class is positive, and which threshold stands for 95 % recall: see {@link fpr95}. */
export type Fpr95Convention =
  | 'in_positive_nearest'
  | 'in_positive_first'
  | 'out_positive_nearest'
  | 'out_positive_first';

/** The area under a precision-recall curve as a sum of steps or by the trapezoid rule: see {@link aupr}. */
export type AuprRule = 'step' | 'trapezoid';

interface ConventionDefinition {
  readonly description: string;
  readonly fpr95: Fpr95Convention;
  readonly aupr: AuprRule;
}

/**
 * The evaluation conventions in use. The same scores give very different figures under each (softmax on SVHN: FPR95 48 %
 * or 29 %), so a figure without its convention means nothing.
 * - `paper`: Liu et al. 2020 and their published code.
 * - `oe`: Hendrycks et al. 2019 (Outlier Exposure) and their published code.
 * - `openood`: OpenOOD and pytorch-ood.
 */
export const CONVENTIONS = {
  paper: {
    description: 'in-distribution positive, nearest recall, step AUPR',
    fpr95: 'in_positive_nearest',
    aupr: 'step',
  },
  oe: {
    description: 'OOD positive, nearest recall, step AUPR',
    fpr95: 'out_positive_nearest',
    aupr: 'step',
  },
  openood: {
    description: 'OOD positive, first threshold with TPR >= 95 %, trapezoid AUPR',
    fpr95: 'out_positive_first',
    aupr: 'trapezoid',
  },
} as const satisfies Record<string, ConventionDefinition>;

export type Convention = keyof typeof CONVENTIONS;

/**
 * FPR95, AUROC and both AUPR of in-distribution against out-of-distribution scores, in one convention.
 * @throws {DataError} if a score is NaN or there are none.
 * @throws {UsageError} if there is no such convention.
 */
export function metrics(inScores: Scores, oodScores: Scores, { convention }: { convention: Convention }): Metrics {
  return metricsOf(rank(inScores, oodScores), convention);
}

/**
 * {@link metrics} of ranked scores, or of a resample of them.
 * @throws {UsageError} if there is no such convention.
 */
export function metricsOf(ranked: Histograms, convention: Convention): Metrics {
  if (!Object.hasOwn(CONVENTIONS, convention)) {
    throw new UsageError(`there is no convention '${convention}'; choose from ${Object.keys(CONVENTIONS).join(', ')}`);
  }
  const { fpr95: fprConvention, aupr: rule } = CONVENTIONS[convention];
  const inPositive = count(ranked, 'in');
  const outPositive = count(ranked, 'out');
  return {
    fpr95: fpr95Of(fprConvention.startsWith('in') ? inPositive : outPositive, fprConvention),
    auroc: aurocOf(inPositive),
    aupr_in: auprOf(inPositive, rule),
    aupr_out: auprOf(outPositive, rule),
  };
}

/** The figures that no convention leaves out, FPR95 in each. */
export interface AllMetrics {
  auroc: number;
  /** By the rule `step`. */
  aupr_in: number;
  aupr_out: number;
  fpr95: Record<Fpr95Convention, number>;
}

/**
 * AUROC, both AUPR (step) and FPR95 in all four conventions, in fractions of 1.
 * @throws {DataError} if a score is NaN or there are none.
 */
export function allMetrics(inScores: Scores, oodScores: Scores): AllMetrics {
  return {
    auroc: auroc(inScores, oodScores),
    aupr_in: aupr(inScores, oodScores, 'in', 'step'),
    aupr_out: aupr(inScores, oodScores, 'out', 'step'),
    fpr95: {
      in_positive_nearest: fpr95(inScores, oodScores, 'in_positive_nearest'),
      in_positive_first: fpr95(inScores, oodScores, 'in_positive_first'),
      out_positive_nearest: fpr95(inScores, oodScores, 'out_positive_nearest'),
      out_positive_first: fpr95(inScores, oodScores, 'out_positive_first'),
    },
  };
}

/**
 * The probability that an in-distribution image scores higher than an out-of-distribution one, ties counting one half
 * (Mann and Whitney's U over the number of pairs). O(n log n).
 * @throws {DataError} if a score is NaN or there are none.
 */
export function auroc(inScores: Scores, oodScores: Scores): number {
  return aurocOf(count(rank(inScores, oodScores), 'in'));
}

function aurocOf({ truePositives, falsePositives, positives, negatives }: Counts): number {
  let rankedRight = 0;
  let foundBefore = 0;
  let wrongBefore = 0;
  for (const [i, found] of truePositives.entries()) {
    const wrong = falsePositives[i]!;
    rankedRight += ((wrong - wrongBefore) * (found + foundBefore)) / 2;
    foundBefore = found;
    wrongBefore = wrong;
  }
  return rankedRight / (positives * negatives);
}

/**
 * The area under the precision-recall curve over the distinct scores as thresholds, `positive` being the class to find.
 * - `step`: average precision, Σ_i (R_i - R_{i-1})·P_i, as scikit-learn's `average_precision_score`.
 * - `trapezoid`: Σ_i (R_i - R_{i-1})·(P_i + P_{i-1})/2 from the point (R, P) = (0, 1), as scikit-learn's `auc` over
 *   `precision_recall_curve`; it interpolates where no threshold is, and is too high for tied scores.
 * @throws {DataError} if a score is NaN or there are none.
 */
export function aupr(inScores: Scores, oodScores: Scores, positive: 'in' | 'out', rule: AuprRule): number {
  return auprOf(count(rank(inScores, oodScores), positive), rule);
}

function auprOf({ truePositives, falsePositives, positives }: Counts, rule: AuprRule): number {
  let area = 0;
  let foundBefore = 0;
  let precisionBefore = 1;
  for (const [i, found] of truePositives.entries()) {
    const precision = found / (found + falsePositives[i]!);
    const height = rule === 'step' ? precision : (precision + precisionBefore) / 2;
    area += ((found - foundBefore) / positives) * height;
    foundBefore = found;
    precisionBefore = precision;
  }
  return area;
}

/**
 * The false positive rate at the threshold that finds 95 % of the positive class, of the distinct scores in descending
 * order of confidence that an image is positive. In-distribution (`in_`) or out-of-distribution images (`out_`) are the
 * positives, and the threshold is
 * - `nearest`: the one whose recall is nearest to 0.95; of two as near, the higher recall; of several with one recall,
 *   the lowest threshold (the most false positives), but the highest where the recall is 1. So does the paper's code.
 * - `first`: the first whose recall is at least 0.95, as in OpenOOD and pytorch-ood (with `out_positive`).
 * @throws {DataError} if a score is NaN or there are none.
 */
export function fpr95(inScores: Scores, oodScores: Scores, convention: Fpr95Convention): number {
  return fpr95Of(count(rank(inScores, oodScores), convention.startsWith('in') ? 'in' : 'out'), convention);
}

function fpr95Of(counts: Counts, convention: Fpr95Convention): number {
  const index = convention.endsWith('nearest') ? nearestTo95(counts) : firstAtLeast95(counts);
  return counts.falsePositives[index]! / counts.negatives;
}

// Recall is compared with 19/20 in whole numbers (20·found against 19·positives): ties stay ties, without rounding.

function firstAtLeast95({ truePositives, positives }: Counts): number {
  return truePositives.findIndex((found) => 20 * found >= 19 * positives);
}

function nearestTo95({ truePositives, positives }: Counts): number {
  let best = -1;
  let bestDistance = Infinity;
  for (const [i, found] of truePositives.entries()) {
    const distance = Math.abs(20 * found - 19 * positives);
    if (distance <= bestDistance) {
      best = i;
      bestDistance = distance;
    }
    if (found === positives) break;
  }
  return best;
}

/** How many images of each kind have each distinct score, in ascending order of the scores. */
export interface Histograms {
  readonly ins: Float64Array;
  readonly outs: Float64Array;
}

/** Scores ranked together: their histograms, and the rank among the distinct scores of each image, in ascending order. */
export interface Ranked extends Histograms {
  readonly inRanks: Int32Array;
  readonly outRanks: Int32Array;
}

/**
 * Rank in-distribution and out-of-distribution scores together.
 * @throws {DataError} if a score is NaN or there are none.
 */
export function rank(inScores: Scores, oodScores: Scores): Ranked {
  const ins = ascending(inScores, 'in-distribution');
  const outs = ascending(oodScores, 'out-of-distribution');
  const inRanks = new Int32Array(ins.length);
  const outRanks = new Int32Array(outs.length);
  let ranks = 0;
  for (let i = 0, j = 0; i < ins.length || j < outs.length; ranks++) {
    const score = Math.min(ins[i] ?? Infinity, outs[j] ?? Infinity);
    while (i < ins.length && ins[i] === score) inRanks[i++] = ranks;
    while (j < outs.length && outs[j] === score) outRanks[j++] = ranks;
  }
  return { inRanks, outRanks, ins: histogram(inRanks, ranks), outs: histogram(outRanks, ranks) };
}

function histogram(ofImages: Int32Array, ranks: number): Float64Array {
  const counts = new Float64Array(ranks);
  for (const r of ofImages) counts[r]!++;
  return counts;
}

/** The confusion counts at each distinct score, in descending order of confidence that an image is positive. */
interface Counts {
  readonly truePositives: Float64Array;
  readonly falsePositives: Float64Array;
  readonly positives: number;
  readonly negatives: number;
}

/** A score that no image of a resample has is passed over: it is none of its thresholds. */
function count({ ins, outs }: Histograms, positive: 'in' | 'out'): Counts {
  const [found, wrong] = positive === 'in' ? [ins, outs] : [outs, ins];
  const truePositives = new Float64Array(ins.length);
  const falsePositives = new Float64Array(ins.length);
  let positives = 0;
  let negatives = 0;
  let thresholds = 0;
  for (let i = 0; i < ins.length; i++) {
    const at = positive === 'in' ? ins.length - 1 - i : i;
    if (found[at] === 0 && wrong[at] === 0) continue;
    positives += found[at]!;
    negatives += wrong[at]!;
    truePositives[thresholds] = positives;
    falsePositives[thresholds++] = negatives;
  }
  return {
    truePositives: truePositives.subarray(0, thresholds),
    falsePositives: falsePositives.subarray(0, thresholds),
    positives,
    negatives,
  };
}

/** Sorted, in float64, where distinct scores stay distinct. */
function ascending(scores: Scores, what: string): Float64Array {
  if (scores.length === 0) throw new DataError(`there are no ${what} scores to rank`);
  const sorted = Float64Array.from(scores);
  const nan = sorted.findIndex(Number.isNaN);
  if (nan >= 0) throw new DataError(`${what} score ${nan} is NaN, which has no rank; check the network's logits`);
  return sorted.sort();
}
