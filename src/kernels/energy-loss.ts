import { type Dispatch, grid, vectorWidth, WORKGROUP } from './dispatch.js';

/** The rows of a mixed batch: the first `inCount` are in-distribution and labelled, `outCount` outliers follow. */
export interface MixedBatch {
  readonly inCount: number;
  readonly outCount: number;
}

/**
 * What is added to the cross-entropy of the in-distribution rows, times `lambda`:
 * - `energy`, the two squared hinges mean(relu(E_in - mIn)²) + mean(relu(mOut - E_out)²) (Liu et al. 2020, eq. 8 and 9);
 * - `hinge`, the one margin of their footnote 2, mean(relu(E_in - E_out + margin)) over all pairs of an in-distribution and
 *   an outlier row. The footnote takes x_in and x_out independently, and no code of it is published: the mean over all
 *   pairs estimates that expectation with the least variance, whatever the two batch sizes and the order of the rows;
 * - `oe`, cross-entropy to the uniform distribution on outliers (Hendrycks et al. 2019).
 *
 * Energies and margins are in nats.
 */
export type Regulariser =
  | { readonly kind: 'energy'; readonly mIn: number; readonly mOut: number; readonly lambda: number }
  | { readonly kind: 'hinge'; readonly margin: number; readonly lambda: number }
  | { readonly kind: 'oe'; readonly lambda: number };

/** E = -logsumexp of each row of `logits` [rows, classes], into `energies` [rows]. */
export function rowEnergies<B>(
  { rows, classes }: { rows: number; classes: number },
  { logits, energies }: { logits: B; energies: B },
): Dispatch<B> {
  return {
    shader: 'row_energies',
    constants: { ROWS: rows, CLASSES: classes, WORKGROUP },
    bindings: [logits, energies],
    workgroups: [Math.ceil(rows / WORKGROUP), 1, 1],
  };
}

/** Logits that an invocation keeps in registers. */
const MOST_HELD = 16;

/** Of a row on a GPU, what an invocation takes, so far as a workgroup goes: so many vectors of 4 logits, or logits. */
const VECTORS_OF_LANE = MOST_HELD / 4;
const LOGITS_OF_LANE = 5;

/** Neighbours that share a row of so many vectors on a GPU: a power of two. */
const lanesOfRow = (vectors: number, width: number): number =>
  Math.min(
    WORKGROUP,
    2 ** Math.ceil(Math.log2(Math.max(1, vectors / (width === 4 ? VECTORS_OF_LANE : LOGITS_OF_LANE)))),
  );

/**
 * Loss of a mixed batch and its gradient in one kernel: logsumexp, energy, hinges or OE's term, and cross-entropy (that
 * alone without a regulariser).
 * `logits` and `gradient` (of the mean loss) are [inCount + outCount, classes], `labels` [inCount] (u32, below classes),
 * `rows` [inCount + outCount, 4]: cross-entropy, regulariser, energy, 1 where the prediction is right. `energies`
 * [inCount + outCount], from {@link rowEnergies}, is for `hinge` alone. `workgroupMemory`: several invocations share a row, which GPUs do best;
 * `lossScale`: what the gradient alone is multiplied by.
 */
export function energyLoss<B>(
  { inCount, outCount, classes }: MixedBatch & { classes: number },
  regulariser: Regulariser | undefined,
  {
    logits,
    labels,
    gradient,
    rows,
    energies,
  }: { logits: B; labels: B; gradient: B; rows: B; energies?: B | undefined },
  {
    workgroupMemory = false,
    lossScale = 1,
  }: { workgroupMemory?: boolean | undefined; lossScale?: number | undefined } = {},
): Dispatch<B> {
  const width = vectorWidth(classes);
  const vectors = classes / width;
  const rowLanes = workgroupMemory ? lanesOfRow(vectors, width) : 1;
  const vectorsOfLane = Math.ceil(vectors / rowLanes);
  const held = Math.min(vectorsOfLane, MOST_HELD / width);
  return {
    shader: 'energy_loss',
    constants: {
      WIDTH: width,
      HELD: held,
      CHUNKS: Math.ceil(vectorsOfLane / held),
      ROW_LANES: rowLanes,
      SHARED: rowLanes > 1,
      IN_COUNT: inCount,
      OUT_COUNT: outCount,
      CLASSES: classes,
      ENERGY: regulariser?.kind === 'energy',
      ...(regulariser?.kind === 'energy' ? { M_IN: regulariser.mIn, M_OUT: regulariser.mOut } : {}),
      HINGE: regulariser?.kind === 'hinge',
      ...(regulariser?.kind === 'hinge' ? { MARGIN: regulariser.margin } : {}),
      LAMBDA: regulariser?.lambda ?? 0,
      SCALE: lossScale,
      WORKGROUP,
    },
    bindings: [logits, labels, gradient, rows, ...(energies === undefined ? [] : [energies])],
    workgroups: grid((inCount + outCount) * rowLanes),
  };
}

/** Figures a step leaves in the log, in this order, one row of 8 floats a step (the last two are unused). */
export const LOG_FIELDS = ['loss', 'cross_entropy', 'regulariser', 'energy_in', 'energy_out', 'accuracy'] as const;
export const LOG_WIDTH = 8;

/**
 * Means of {@link energyLoss}'s `rows` over the batch, into row (step - 1) mod `capacity` of `log` [capacity, LOG_WIDTH];
 * `halted` (u32) takes the number of the first step whose loss was NaN or infinite. `step` is [number, seed] (u32).
 */
export function lossStatistics<B>(
  { inCount, outCount, lambda, capacity }: MixedBatch & { lambda: number; capacity: number },
  { rows, step, log, halted }: { rows: B; step: B; log: B; halted: B },
): Dispatch<B> {
  return {
    shader: 'loss_statistics',
    constants: { IN_COUNT: inCount, OUT_COUNT: outCount, LAMBDA: lambda, CAPACITY: capacity, WORKGROUP },
    bindings: [rows, step, log, halted],
    workgroups: [1, 1, 1],
  };
}
