/**
 * The training losses on the logits (n, classes) of a mixed batch, in float64: its first rows are in-distribution, one for
 * each label, and the rest are outliers. Each is loss = cross_entropy + regulariser, the regulariser with its weight
 * λ in it: as the logs of ../shared/reference have it.
 */

export interface Loss {
  loss: number;
  /** Mean over the in-distribution rows. */
  cross_entropy: number;
  /** λ times the mean term over the outliers (and, for the energy, that over the in-distribution rows). */
  regulariser: number;
  /** Mean of E = -logsumexp(f) over the in-distribution rows. */
  energy_in: number;
  /** Mean of E over the outliers; NaN if there are none. */
  energy_out: number;
  /** dLoss/dlogits, (n, classes). */
  gradient: Float64Array;
}

interface Row {
  logits: Float64Array;
  softmax: Float64Array;
  logSumExp: number;
  /** Undefined for an outlier. */
  label: number | undefined;
}

/** How many rows of each part there are. */
interface Batch {
  in: number;
  out: number;
}

/** Cross-entropy alone: outliers get no gradient. */
export function crossEntropy(logits: Float64Array, labels: readonly number[], classes: number): Loss {
  return lossOf(logits, labels, classes, () => ({ value: 0, gradient: () => 0 }));
}

/** Liu et al. 2020, equations 7 to 9: λ·(mean relu(E_in - m_in)² + mean relu(m_out - E_out)²). */
export function energyHinge(
  logits: Float64Array,
  labels: readonly number[],
  classes: number,
  { mIn, mOut, lambda }: { mIn: number; mOut: number; lambda: number },
): Loss {
  return lossOf(logits, labels, classes, (row, batch) => {
    const energy = -row.logSumExp;
    // dE/df = -softmax.
    if (row.label !== undefined) {
      const excess = Math.max(energy - mIn, 0);
      const scale = lambda / batch.in;
      return { value: scale * excess ** 2, gradient: (k) => -scale * 2 * excess * row.softmax[k]! };
    }
    const lack = Math.max(mOut - energy, 0);
    const scale = lambda / batch.out;
    return { value: scale * lack ** 2, gradient: (k) => scale * 2 * lack * row.softmax[k]! };
  });
}

/** Liu et al. 2020, footnote 2: λ·mean over all pairs of relu(E_in - E_out + m). */
export function pairHinge(
  logits: Float64Array,
  labels: readonly number[],
  classes: number,
  { margin, lambda }: { margin: number; lambda: number },
): Loss {
  const energies = rowsOf(logits, labels, classes).map((row) => -row.logSumExp);
  const inside = energies.slice(0, labels.length);
  const outside = energies.slice(labels.length);
  return lossOf(logits, labels, classes, (row, batch) => {
    const energy = -row.logSumExp;
    const scale = batch.out === 0 ? 0 : lambda / (batch.in * batch.out);
    const isIn = row.label !== undefined;
    const excesses = isIn
      ? outside.map((other) => Math.max(energy - other + margin, 0))
      : inside.map((other) => Math.max(other - energy + margin, 0));
    const active = excesses.filter((excess) => excess > 0).length;
    // Each pair is counted once, with its in-distribution row; dE/df = -softmax.
    const value = isIn ? scale * excesses.reduce((a, b) => a + b, 0) : 0;
    return { value, gradient: (k) => (isIn ? -1 : 1) * scale * active * row.softmax[k]! };
  });
}

/** Hendrycks et al. 2019, Outlier Exposure: λ·mean(logsumexp(f) - mean_k f_k) over the outliers. */
export function outlierExposure(
  logits: Float64Array,
  labels: readonly number[],
  classes: number,
  { lambda }: { lambda: number },
): Loss {
  return lossOf(logits, labels, classes, (row, batch) => {
    if (row.label !== undefined) return { value: 0, gradient: () => 0 };
    const scale = lambda / batch.out;
    return {
      value: scale * (row.logSumExp - mean(row.logits)),
      gradient: (k) => scale * (row.softmax[k]! - 1 / classes),
    };
  });
}

/** A row's part of the regulariser, and its derivative by the row's logit k. */
type Regulariser = (row: Row, batch: Batch) => { value: number; gradient: (k: number) => number };

function lossOf(logits: Float64Array, labels: readonly number[], classes: number, regularise: Regulariser): Loss {
  const rows = rowsOf(logits, labels, classes);
  const batch: Batch = { in: labels.length, out: rows.length - labels.length };
  const gradient = new Float64Array(logits.length);
  let cross_entropy = 0;
  let regulariser = 0;
  for (const [n, row] of rows.entries()) {
    const term = regularise(row, batch);
    regulariser += term.value;
    if (row.label !== undefined) cross_entropy += (row.logSumExp - row.logits[row.label]!) / batch.in;
    for (let k = 0; k < classes; k++) {
      const target = row.label === k ? 1 : 0;
      const fromCrossEntropy = row.label === undefined ? 0 : (row.softmax[k]! - target) / batch.in;
      gradient[n * classes + k] = fromCrossEntropy + term.gradient(k);
    }
  }
  const energies = Float64Array.from(rows, (row) => -row.logSumExp);
  return {
    loss: cross_entropy + regulariser,
    cross_entropy,
    regulariser,
    energy_in: mean(energies.subarray(0, batch.in)),
    energy_out: mean(energies.subarray(batch.in)),
    gradient,
  };
}

function rowsOf(logits: Float64Array, labels: readonly number[], classes: number): Row[] {
  return Array.from({ length: logits.length / classes }, (_, n) => {
    const row = logits.slice(n * classes, (n + 1) * classes);
    const max = Math.max(...row);
    const logSumExp = max + Math.log(row.reduce((sum, f) => sum + Math.exp(f - max), 0));
    return { logits: row, softmax: row.map((f) => Math.exp(f - logSumExp)), logSumExp, label: labels[n] };
  });
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
