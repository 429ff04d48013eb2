import { DataError, UsageError } from '../errors.js';
import { CONVENTIONS, type Convention, type Metrics, metrics } from './metrics.js';
import { findScore, type Logits, rowsOf } from './scores.js';

export interface EvaluationInput {
  /** K, the number of logits of an image. */
  classes: number;
  /** The labelled test images: logits N x K and N labels in [0, K). */
  inDistribution: { logits: Logits; labels: ArrayLike<number> };
  /** The out-of-distribution sets: a name of its own, and logits M x K, for each. */
  ood: readonly { name: string; logits: Logits }[];
  /** Names in `SCORES`. */
  scores: readonly string[];
  convention: Convention;
  /** How many images of each OOD set to take, from its start: sets are expected shuffled. All, if it has fewer or this is absent. */
  oodCount?: number;
  /** T of the energy; 1 by default. */
  temperature?: number;
}

/** The metrics of one score on one OOD set; `set` is 'average' in the row of each score's mean over the sets. */
export interface EvaluationRow extends Metrics {
  score: string;
  set: string;
}

/** What `evaluate` found, in fractions of 1. */
export interface Evaluation {
  /** The fraction of in-distribution images whose largest logit is their label's. */
  accuracy: number;
  convention: Convention;
  results: EvaluationRow[];
}

/** The name of the row of means, and so no name for a set. */
export const AVERAGE = 'average';

/**
 * Accuracy, and the metrics of each score on each OOD set and on average over the sets.
 * @throws {DataError} if logits, labels and `classes` do not fit, a set is empty, or a logit is not finite.
 * @throws {UsageError} if a score or convention does not exist, no set is given, or set names are not distinct.
 */
export function evaluate(input: EvaluationInput): Evaluation {
  const { classes, inDistribution, convention, temperature = 1 } = input;
  checkSets(input);
  const sets = input.ood.map(({ name, logits }) => ({
    name,
    logits: firstRows(name, logits, classes, input.oodCount),
  }));
  const results = input.scores.flatMap((name) => {
    const { score } = findScore(name);
    const inScores = score({ logits: inDistribution.logits, classes, temperature });
    const rows = sets.map((set) => {
      const oodScores = score({ logits: set.logits, classes, temperature });
      return { score: name, set: set.name, ...metrics(inScores, oodScores, { convention }) };
    });
    return [...rows, { score: name, set: AVERAGE, ...mean(rows) }];
  });
  return { accuracy: accuracy(inDistribution.logits, inDistribution.labels, classes), convention, results };
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

/** The evaluation as plain text: percent with two decimals, the convention in its heading, no final line end. */
export function formatTable({ accuracy, convention, results }: Evaluation): string {
  const header = ['score', 'set', 'FPR95', 'AUROC', 'AUPR-in', 'AUPR-out'];
  const rows = results.map((row) => [
    row.score,
    row.set,
    ...[row.fpr95, row.auroc, row.aupr_in, row.aupr_out].map(percent),
  ]);
  const widths = header.map((title, column) =>
    Math.max(...[title, ...rows.map((row) => row[column]!)].map((s) => s.length)),
  );
  const line = (cells: string[]) =>
    cells.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  return [
    `accuracy ${percent(accuracy)} %`,
    `convention ${convention}: ${CONVENTIONS[convention].description}; figures in %`,
    line(header),
    ...rows.map(line),
  ].join('\n');
}

function percent(fraction: number): string {
  return (100 * fraction).toFixed(2);
}

function checkSets({ ood, scores, oodCount }: EvaluationInput): void {
  if (ood.length === 0) throw new UsageError('there is no OOD set to evaluate on; name at least one');
  if (scores.length === 0) throw new UsageError('there is no score to evaluate; name at least one');
  if (oodCount !== undefined && !(Number.isInteger(oodCount) && oodCount > 0)) {
    throw new UsageError(`the OOD count is ${oodCount}; it must be a positive integer`);
  }
  const seen = new Set([AVERAGE]);
  for (const { name } of ood) {
    if (name === AVERAGE) throw new UsageError(`an OOD set cannot be called '${AVERAGE}': the row of means is`);
    if (seen.has(name)) throw new UsageError(`two OOD sets are called '${name}'; give each a name of its own`);
    seen.add(name);
  }
}

function firstRows(name: string, logits: Logits, classes: number, count = Infinity): Logits {
  const rows = rowsOf(logits, classes);
  if (rows === 0) throw new DataError(`the OOD set '${name}' has no images`);
  return logits.slice(0, Math.min(count, rows) * classes);
}

function mean(rows: readonly Metrics[]): Metrics {
  const over = (of: (row: Metrics) => number) => rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
  return {
    fpr95: over((row) => row.fpr95),
    auroc: over((row) => row.auroc),
    aupr_in: over((row) => row.aupr_in),
    aupr_out: over((row) => row.aupr_out),
  };
}
