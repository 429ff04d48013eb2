import { runningStatistics } from '../../kernels/batch-norm.js';
import * as kernels from '../../kernels/sgd.js';
import { type Op, sizeOf, type Tensor } from '../graph.js';

/** An op that changes tensors in place and makes none. `state` names its inputs after the first three, which are of the last's shape. */

interface SgdAttributes {
  readonly momentum: number;
  readonly weightDecay: number;
}

const sgdOp = effect<SgdAttributes>('sgd', ({ inputs: [gradient, step, halted, w, velocity], attributes }) => {
  const size = sizeOf(w!.shape);
  return [
    kernels.checkFinite(size, { x: gradient!, step: step!, halted: halted! }),
    kernels.sgd(
      { size, ...attributes },
      { gradient: gradient!, step: step!, halted: halted!, w: w!, velocity: velocity! },
    ),
  ];
});

/**
 * One update of all parameters by SGD with Nesterov momentum and weight decay (PyTorch's definitions), in place. A gradient
 * that is not finite sets `halted` (u32 [1]) to the step's number instead, and from then on nothing changes.
 * @param parameters, gradient, velocity one arena each, laid out alike
 * @param state.step u32 [4]: number, seed, learning rate (the bits of a float32)
 */
export function sgd(
  parameters: Tensor,
  gradient: Tensor,
  velocity: Tensor,
  state: { step: Tensor; halted: Tensor },
  attributes: SgdAttributes,
): void {
  parameters.graph.apply(sgdOp, [gradient, state.step, state.halted, parameters, velocity], attributes);
}

const averageOp = effect<{ momentum: number }>(
  'running_statistics',
  ({ inputs: [batch, step, halted, running], attributes }) => [
    runningStatistics(
      { size: sizeOf(running!.shape), ...attributes },
      { batch: batch!, step: step!, halted: halted!, running: running! },
    ),
  ],
);

/** running = (1 - momentum) running + momentum batch, for all statistics of a network at once, unless halted. */
export function updateRunningStatistics(
  running: Tensor,
  batch: Tensor,
  state: { step: Tensor; halted: Tensor },
  attributes: { momentum: number },
): void {
  running.graph.apply(averageOp, [batch, state.step, state.halted, running], attributes);
}

/** Where each input of a pack lies in it, in elements. */
interface PackAttributes {
  readonly offsets: readonly number[];
  readonly size: number;
}

/** Makes no dispatch: the planner lets its inputs be computed in place. */
export const packOp: Op<PackAttributes> = {
  name: 'pack',
  outputs: (_, { size }) => [[size]],
  lower: () => [],
};

/**
 * One tensor of `size` elements in which each of `parts` lies at its offset: they are computed there in the first place,
 * nothing is copied. Elements between them are zero. Parts must be outputs of ops, each packed once.
 */
export function pack(parts: readonly Tensor[], offsets: readonly number[], size: number): Tensor {
  return parts[0]!.graph.apply(packOp, parts, { offsets, size })[0]!;
}
