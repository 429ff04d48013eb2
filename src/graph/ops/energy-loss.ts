import { UsageError } from '../../errors.js';
import * as kernels from '../../kernels/energy-loss.js';
import { type Op, requireShape, type Tensor } from '../graph.js';

export type { MixedBatch, Regulariser } from '../../kernels/energy-loss.js';
export { LOG_FIELDS, LOG_WIDTH } from '../../kernels/energy-loss.js';

interface LossAttributes {
  readonly batch: kernels.MixedBatch;
  readonly regulariser: kernels.Regulariser | undefined;
  readonly lossScale: number;
}

const energyLossOp: Op<LossAttributes> = {
  name: 'energy_loss',
  outputs([logits, labels], { batch }) {
    requireShape('energy_loss', 'logits', logits!, [batch.inCount + batch.outCount, -1]);
    requireShape('energy_loss', 'labels', labels!, [batch.inCount]);
    return [logits!.shape, [logits!.shape[0]!, 4]];
  },
  lower(
    { inputs: [logits, labels], outputs: [gradient, rows], attributes: { batch, regulariser, lossScale } },
    scratch,
    options,
  ) {
    const [count, classes] = logits!.shape as [number, number];
    const energies = regulariser?.kind === 'hinge' ? scratch([count]) : undefined;
    return [
      ...(energies ? [kernels.rowEnergies({ rows: count, classes }, { logits: logits!, energies })] : []),
      kernels.energyLoss(
        { ...batch, classes },
        regulariser,
        { logits: logits!, labels: labels!, gradient: gradient!, rows: rows!, energies },
        { ...options, lossScale },
      ),
    ];
  },
};

/**
 * Loss of a mixed batch together with its gradient: cross-entropy of the in-distribution rows plus lambda
 * times the regulariser (Liu et al. 2020, eq. 6 to 9 and footnote 2; Hendrycks et al. 2019). The loss itself is in `rows`, for
 * {@link lossStatistics}; differentiate from the logits with `gradients(logits, gradient, ..)`.
 * @param logits [inCount + outCount, classes], in-distribution rows first
 * @param labels u32 [inCount], each below classes (the host checks that)
 * @returns gradient of the loss, of the logits' shape, and rows [inCount + outCount, 4]: cross-entropy, regulariser, energy, correct
 * @throws UsageError where mIn is not below mOut, a margin is no finite number, lambda is below 0, or there is no in-distribution row
 */
export function energyLoss(
  logits: Tensor,
  labels: Tensor,
  batch: kernels.MixedBatch,
  regulariser?: kernels.Regulariser,
  { lossScale = 1 }: { lossScale?: number | undefined } = {},
): { gradient: Tensor; rows: Tensor } {
  if (regulariser) requireRegulariser(regulariser);
  if (batch.inCount < 1) throw new UsageError('the loss is one of in-distribution rows, but there are none: give some');
  const [gradient, rows] = logits.graph.apply(energyLossOp, [logits, labels], { batch, regulariser, lossScale }) as [
    Tensor,
    Tensor,
  ];
  return { gradient, rows };
}

/** @throws UsageError where mIn is not below mOut, a margin is no finite number, or lambda is below 0 */
export function requireRegulariser(regulariser: kernels.Regulariser): void {
  const { kind, lambda } = regulariser;
  if (!(lambda >= 0 && Number.isFinite(lambda)))
    throw new UsageError(`lambda is ${lambda}; give a number of 0 or more`);
  if (kind === 'hinge' && !Number.isFinite(regulariser.margin))
    throw new UsageError(`the margin is ${regulariser.margin}; give a number of nats`);
  if (kind !== 'energy') return;
  for (const [name, margin] of [
    ['m_in', regulariser.mIn],
    ['m_out', regulariser.mOut],
  ] as const) {
    if (!Number.isFinite(margin)) throw new UsageError(`${name} is ${margin}; give a number of nats`);
  }
  if (!(regulariser.mIn < regulariser.mOut)) {
    throw new UsageError(
      `m_in = ${regulariser.mIn} must be below m_out = ${regulariser.mOut}: energy is to be low in-distribution and high outside`,
    );
  }
}

const lossStatisticsOp: Op<kernels.MixedBatch & { lambda: number }> = {
  name: 'loss_statistics',
  effect: true,
  outputs([rows, step, log, halted], { inCount, outCount }) {
    requireShape('loss_statistics', 'rows', rows!, [inCount + outCount, 4]);
    requireShape('loss_statistics', 'step', step!, [4]);
    requireShape('loss_statistics', 'log', log!, [-1, kernels.LOG_WIDTH]);
    requireShape('loss_statistics', 'halted', halted!, [1]);
    return [];
  },
  lower: ({ inputs: [rows, step, log, halted], attributes }) => [
    kernels.lossStatistics(
      { ...attributes, capacity: log!.shape[0]! },
      { rows: rows!, step: step!, log: log!, halted: halted! },
    ),
  ],
};

/**
 * The batch's means of `rows`, into row (step number - 1) mod capacity of `log` [capacity, LOG_WIDTH] (see LOG_FIELDS);
 * where the loss is not finite, `halted` (u32 [1], all ones before) takes the step's number.
 */
export function lossStatistics(
  rows: Tensor,
  batch: kernels.MixedBatch & { lambda: number },
  state: { step: Tensor; log: Tensor; halted: Tensor },
): void {
  rows.graph.apply(lossStatisticsOp, [rows, state.step, state.log, state.halted], batch);
}
