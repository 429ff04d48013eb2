import { type Histograms, rank, type Scores } from './metrics.js';

/** A curve's points, one x for each y. */
export type Curve = readonly (readonly [x: number, y: number])[];

/** Points that a drawn curve keeps, at most. */
const POINTS = 200;

/**
 * The ROC curve, in-distribution images positive: of each distinct score as the threshold, the share of OOD images accepted
 * (x) and of in-distribution images (y), from (0, 0) to (1, 1).
 * @returns at most 200 points, evenly spread along the curve; a chord never strays from the curve by more than 1 %
 * @throws {DataError} if a score is NaN or there are none
 */
export function rocCurve(inScores: Scores, oodScores: Scores): Curve {
  const { found, wrong, positives, negatives } = accepted(rank(inScores, oodScores));
  return thinned([[0, 0], ...found.map((tp, i): [number, number] => [wrong[i]! / negatives, tp / positives])]);
}

/**
 * The precision-recall curve, in-distribution images positive: recall (x) and precision (y) at each distinct score.
 * @returns at most 200 points
 * @throws {DataError} if a score is NaN or there are none
 */
export function precisionRecallCurve(inScores: Scores, oodScores: Scores): Curve {
  const { found, wrong, positives } = accepted(rank(inScores, oodScores));
  return thinned(found.map((tp, i): [number, number] => [tp / positives, tp / (tp + wrong[i]!)]));
}

/** Counts of images at or above each distinct score, from the highest down. */
function accepted({ ins, outs }: Histograms) {
  const found: number[] = [];
  const wrong: number[] = [];
  let [positives, negatives] = [0, 0];
  for (let i = ins.length - 1; i >= 0; i--) {
    positives += ins[i]!;
    negatives += outs[i]!;
    found.push(positives);
    wrong.push(negatives);
  }
  return { found, wrong, positives, negatives };
}

/** Both ends, and between them a point wherever the curve has gone on by a 200th of its length. */
function thinned(points: readonly (readonly [number, number])[]): Curve {
  const step = (from: readonly [number, number], to: readonly [number, number]) =>
    Math.abs(to[0] - from[0]) + Math.abs(to[1] - from[1]);
  const length = points.reduce((sum, point, i) => (i === 0 ? 0 : sum + step(points[i - 1]!, point)), 0);
  const kept = [points[0]!];
  let since = 0;
  for (let i = 1; i < points.length; i++) {
    since += step(points[i - 1]!, points[i]!);
    if (since < length / (POINTS - 2) && i < points.length - 1) continue;
    kept.push(points[i]!);
    since = 0;
  }
  return kept;
}

/** Bins of one width over the range of several groups of values, and the density (share of the group per unit) in each. */
export interface Densities {
  /** One more than there are bins. */
  readonly edges: readonly number[];
  readonly groups: readonly (readonly number[])[];
}

/**
 * Histograms over common bins. What lies beyond the 0.1 and 99.9 percent points of all values is counted in the outer bins,
 * so that one far value does not make the rest a single bar.
 */
export function densities(groups: readonly Scores[], bins = 40): Densities {
  const all = Float64Array.from(groups.flatMap((group) => Array.from(group))).sort();
  const at = (q: number) => all[Math.round(q * (all.length - 1))]!;
  const [low, high] = [at(0.001), at(0.999)];
  const width = (high - low) / bins || 1;
  return {
    edges: Array.from({ length: bins + 1 }, (_, i) => low + i * width),
    groups: groups.map((group) => {
      const counts = new Array<number>(bins).fill(0);
      for (const value of group) counts[Math.min(bins - 1, Math.max(0, Math.floor((value - low) / width)))]!++;
      return counts.map((count) => count / group.length / width);
    }),
  };
}
