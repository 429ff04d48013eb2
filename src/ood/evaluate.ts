import { stream } from '../data/random.js';
import { DataError, UsageError } from '../errors.js';
import { CONVENTIONS, type Convention, type Metrics, metricsOf, rank, type Scores } from './metrics.js';
import { type Logits, rowsOf } from './scores.js';

interface ProtocolDefinition {
  readonly convention: Convention;
  /** So many OOD images for each in-distribution image, drawn at random; all of them where absent. */
  readonly share?: number;
  readonly description: string;
}

/** How many times a protocol that draws OOD images draws them. */
export const DRAWS = 10;

/**
 * The evaluation protocols in use: which images, and which {@link CONVENTIONS}.
 * - `paper`: Liu et al. 2020. - `oe`: Hendrycks et al. 2019. - `openood`: OpenOOD and pytorch-ood.
 * - `full`: the paper's convention, on every image.
 */
export const PROTOCOLS = {
  paper: { convention: 'paper', share: 1 / 5, description: 'one fifth as many OOD images, ten draws' },
  oe: { convention: 'oe', share: 1 / 5, description: 'one fifth as many OOD images, ten draws' },
  openood: { convention: 'openood', description: 'all images' },
  full: { convention: 'paper', description: 'all images' },
} as const satisfies Record<string, ProtocolDefinition>;

export type Protocol = keyof typeof PROTOCOLS;

/** Scores by name, one number an image, the higher the more in-distribution. */
export type ScoresByName = ReadonlyMap<string, Scores>;

export interface EvaluationInput {
  inDistribution: ScoresByName;
  /** The out-of-distribution sets: a name of its own, and the same scores, for each. */
  ood: readonly { name: string; scores: ScoresByName }[];
  protocol: Protocol;
  /** Of the draws and the bootstrap; 1 by default. */
  seed?: number;
  /** Resamples of the bootstrap; 400 by default, and no intervals with 0. */
  resamples?: number;
}

export const METRICS = ['fpr95', 'auroc', 'aupr_in', 'aupr_out'] as const satisfies readonly (keyof Metrics)[];

type Interval = readonly [low: number, high: number];

/**
 * The metrics of one score on one OOD set, the mean of the draws where there are some; `set` is 'average' in the row of each
 * score's mean over the sets.
 */
export interface EvaluationRow extends Metrics {
  score: string;
  set: string;
  /** Over the draws, divided by their number as numpy.std; absent where there is one draw. */
  std?: Metrics;
  /** 95 % bootstrap intervals over images of both kinds (percentiles). */
  interval?: Record<keyof Metrics, Interval>;
  /** In-distribution images. */
  in_count: number;
  /** OOD images of a draw (absent on average), out of so many. */
  ood_count?: number;
  ood_available?: number;
  draws: number;
  /** The share of pairs, an in-distribution and an OOD image, whose scores are equal. */
  ties: number;
}

/** What {@link evaluate} found, in fractions of 1. */
export interface Evaluation {
  protocol: Protocol;
  convention: Convention;
  results: EvaluationRow[];
}

/** {@link Evaluation}, with the fraction of in-distribution images whose largest logit is their label's. */
export interface NetworkEvaluation extends Evaluation {
  accuracy: number;
}

/** The name of the row of means, and so no name for a set. */
export const AVERAGE = 'average';

const RESAMPLES = 400;

/**
 * The metrics of each score on each OOD set, and on average over the sets, by a named protocol.
 * @throws {DataError} if a set has no scores, or one is NaN.
 * @throws {UsageError} if the protocol does not exist, no set or score is given, a set lacks one, or set names are not distinct.
 */
export function evaluate(input: EvaluationInput): Evaluation {
  const { inDistribution, ood, protocol, seed = 1, resamples = RESAMPLES } = input;
  checkSets(input);
  const { convention }: ProtocolDefinition = PROTOCOLS[protocol];
  const results = [...inDistribution].flatMap(([score, inScores]) => {
    const sets = ood.map(({ name, scores }) =>
      evaluateSet(name, inScores, scores.get(score)!, PROTOCOLS[protocol], seed, resamples),
    );
    return [...sets.map(({ row }) => ({ score, ...row })), { score, ...average(sets) }];
  });
  return { protocol, convention, results };
}

interface SetResult {
  readonly row: Omit<EvaluationRow, 'score'>;
  readonly draws: readonly Metrics[];
  readonly resampled: readonly Metrics[];
}

function evaluateSet(
  set: string,
  inScores: Scores,
  oodScores: Scores,
  { convention, share }: ProtocolDefinition,
  seed: number,
  resamples: number,
): SetResult {
  const available = oodScores.length;
  const wanted = share === undefined ? available : Math.max(1, Math.floor(inScores.length * share));
  const size = Math.min(wanted, available);
  // A draw without replacement of all there are is always the same.
  const draws = Array.from({ length: size < available ? DRAWS : 1 }, (_, draw) => {
    if (size === available) return metricsOf(rank(inScores, oodScores), convention);
    const order = stream(seed, 'OOD draw', set, draw).shuffle(available).subarray(0, size);
    return metricsOf(
      rank(
        inScores,
        Float64Array.from(order, (i) => oodScores[i]!),
      ),
      convention,
    );
  });
  const ranked = rank(inScores, oodScores);
  const resampled = Array.from({ length: resamples }, (_, i) =>
    metricsOf(
      {
        // The same resample of the in-distribution images for every set, so that averages over sets can be taken.
        ins: resample(ranked.inRanks, ranked.ins.length, ranked.inRanks.length, stream(seed, 'bootstrap', i)),
        outs: resample(ranked.outRanks, ranked.outs.length, size, stream(seed, 'bootstrap', set, i)),
      },
      convention,
    ),
  );
  const ties = ranked.ins.reduce((sum, count, i) => sum + count * ranked.outs[i]!, 0) / inScores.length / available;
  const counts = { in_count: inScores.length, ood_count: size, ood_available: available, draws: draws.length, ties };
  return { row: { set, ...summary(draws, resampled), ...counts }, draws, resampled };
}

/** How many of `size` images, drawn with replacement from those of `ranks`, have each rank. */
function resample(ranks: Int32Array, levels: number, size: number, random: { int(n: number): number }): Float64Array {
  const counts = new Float64Array(levels);
  for (let i = 0; i < size; i++) counts[ranks[random.int(ranks.length)]!]!++;
  return counts;
}

function average(sets: readonly SetResult[]): Omit<EvaluationRow, 'score'> {
  const meanOf = (lists: readonly (readonly Metrics[])[]) =>
    lists[0]!.map((_, i) => each((name) => mean(lists.map((list) => list[i]![name]))));
  const draws = Math.max(...sets.map((set) => set.draws.length));
  // A set that is drawn once is the same in every draw.
  const perDraw = meanOf(sets.map((set) => Array.from({ length: draws }, (_, i) => set.draws[i % set.draws.length]!)));
  return {
    set: AVERAGE,
    ...summary(perDraw, meanOf(sets.map((set) => set.resampled))),
    in_count: sets[0]!.row.in_count,
    draws,
    ties: mean(sets.map(({ row }) => row.ties)),
  };
}

function summary(draws: readonly Metrics[], resampled: readonly Metrics[]) {
  const means = each((name) => mean(draws.map((draw) => draw[name])));
  const std = each((name) => Math.sqrt(mean(draws.map((draw) => (draw[name] - means[name]) ** 2))));
  return {
    ...means,
    ...(draws.length > 1 && { std }),
    ...(resampled.length > 0 && {
      interval: each((name): Interval => {
        const sorted = Float64Array.from(resampled, (sample) => sample[name]).sort();
        return [quantile(sorted, 0.025), quantile(sorted, 0.975)];
      }),
    }),
  };
}

const each = <T>(of: (name: keyof Metrics) => T) =>
  Object.fromEntries(METRICS.map((name) => [name, of(name)])) as Record<keyof Metrics, T>;

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Between order statistics, linearly. */
function quantile(sorted: Float64Array, q: number): number {
  const at = q * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return below + (at % 1) * (above - below);
}

/**
 * The fraction of images whose largest logit (the first of equals) is their label's.
 * @param logits N x K.
 * @param labels N integers in [0, K).
 * @throws {DataError} if there are no images, not as many labels as images, or a label is out of range.
 */
export function accuracy(logits: Logits, labels: ArrayLike<number>, classes: number): number {
  const images = rowsOf(logits, classes);
  if (images === 0) throw new DataError('there are no in-distribution images to evaluate');
  if (labels.length !== images) throw new DataError(`${labels.length} labels for the logits of ${images} images`);
  let correct = 0;
  for (let n = 0; n < images; n++) {
    const label = labels[n]!;
    if (!(Number.isInteger(label) && label >= 0 && label < classes)) {
      throw new DataError(`label ${n} is ${label}; the network's ${classes} classes are 0 to ${classes - 1}`);
    }
    let best = 0;
    for (let k = 1; k < classes; k++) {
      if (logits[n * classes + k]! > logits[n * classes + best]!) best = k;
    }
    if (best === label) correct++;
  }
  return correct / images;
}

/**
 * The evaluation as plain text: percent, each figure's convention in its heading, with the standard deviation over draws and
 * the bootstrap interval. No final line end.
 */
export function formatTable({ accuracy, protocol, convention, results }: NetworkEvaluation): string {
  const [positive, , rule] = CONVENTIONS[convention].description.split(', ') as [string, string, string];
  const nearest = CONVENTIONS[convention].fpr95.endsWith('nearest') ? 'nearest' : 'first';
  const aupr = rule.split(' ')[0];
  const header = [
    'score',
    'set',
    `FPR95 (${positive}, ${nearest})`,
    'AUROC',
    `AUPR-in (${aupr})`,
    `AUPR-out (${aupr})`,
  ];
  const titles = [...header, 'OOD images'];
  const rows = results.map((row) => [row.score, row.set, ...METRICS.map((name) => cell(row, name)), images(row)]);
  const widths = titles.map((title, column) =>
    Math.max(...[title, ...rows.map((row) => row[column]!)].map((s) => s.length)),
  );
  const line = (cells: string[]) =>
    cells
      .map((text, i) => text.padEnd(widths[i]!))
      .join('  ')
      .trimEnd();
  const [{ in_count }] = results as [EvaluationRow];
  return [
    `accuracy ${percent(accuracy)} % of ${in_count} in-distribution images`,
    `protocol ${protocol}: ${CONVENTIONS[convention].description}, ${PROTOCOLS[protocol].description}; in %, ± over draws, [95 % bootstrap interval]`,
    line(titles),
    ...rows.map(line),
    ...notes(results),
  ].join('\n');
}

function cell(row: EvaluationRow, name: keyof Metrics): string {
  const std = row.std ? ` ±${percent(row.std[name])}` : '';
  const interval = row.interval ? ` [${row.interval[name].map((value) => (100 * value).toFixed(1)).join(', ')}]` : '';
  return `${percent(row[name])}${std}${interval}`;
}

function images({ ood_count, ood_available, draws }: EvaluationRow): string {
  if (ood_count === undefined) return '';
  return draws > 1 ? `${draws} x ${ood_count} of ${ood_available}` : `${ood_count}`;
}

function notes(results: readonly EvaluationRow[]): string[] {
  return results
    .filter(({ set, ties }) => set !== AVERAGE && ties > 0.001)
    .map(
      ({ score, set, ties }) =>
        `${score} on ${set}: ${percent(ties)} % of the pairs of images have equal scores, and count one half in AUROC`,
    );
}

function percent(fraction: number): string {
  return (100 * fraction).toFixed(2);
}

function checkSets({ inDistribution, ood, protocol }: EvaluationInput): void {
  if (!Object.hasOwn(PROTOCOLS, protocol)) {
    throw new UsageError(`there is no protocol '${protocol}'; choose from ${Object.keys(PROTOCOLS).join(', ')}`);
  }
  if (ood.length === 0) throw new UsageError('there is no OOD set to evaluate on; name at least one');
  if (inDistribution.size === 0) throw new UsageError('there is no score to evaluate; name at least one');
  const seen = new Set([AVERAGE]);
  for (const { name, scores } of ood) {
    if (name === AVERAGE) throw new UsageError(`an OOD set cannot be called '${AVERAGE}': the row of means is`);
    if (seen.has(name)) throw new UsageError(`two OOD sets are called '${name}'; give each a name of its own`);
    seen.add(name);
    for (const score of inDistribution.keys()) {
      if (!scores.has(score)) throw new UsageError(`the OOD set '${name}' has no score '${score}'`);
      if (scores.get(score)!.length === 0) throw new DataError(`the OOD set '${name}' has no images`);
    }
  }
}
