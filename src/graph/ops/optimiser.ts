import { ShapeError } from '../../errors.js';
import { runningStatistics } from '../../kernels/batch-norm.js';
import * as kernels from '../../kernels/sgd.js';
import { type Op, requireShape, showShape, sizeOf, type Tensor, VIEW_ALIGNMENT } from '../graph.js';

interface SgdAttributes {
  readonly momentum: number;
  readonly weightDecay: number;
  /** The gradient is so many times too large (see `energyLoss`). */
  readonly lossScale?: number | undefined;
}

/** Inputs: step, halted, parameters, gradient, velocity and, where there is one, the other tensor to be looked at. */
const sgdOp: Op<SgdAttributes> = {
  name: 'sgd',
  effect: true,
  outputs([step, halted, w, gradient, velocity]) {
    requireState('sgd', step!, halted!);
    for (const other of [gradient!, velocity!]) requireShape('sgd', 'input', other, w!.shape);
    return [];
  },
  lower({ inputs: [step, halted, w, gradient, velocity, other], attributes }) {
    const size = sizeOf(w!.shape);
    const sizes = { size, second: other ? sizeOf(other.shape) : 0 };
    return [
      ...kernels.checkFinite(sizes, { x: gradient!, y: other, step: step!, halted: halted! }),
      ...kernels.sgd(
        { size, ...attributes },
        { gradient: gradient!, step: step!, halted: halted!, w: w!, velocity: velocity! },
      ),
    ];
  },
};

/**
 * One update of all parameters by SGD with Nesterov momentum and weight decay (PyTorch's definitions), in place. A gradient,
 * or an element of `state.finite`, that is not finite sets `halted` (u32 [1]) to the step's number instead, and from then on
 * nothing changes.
 * @param parameters, gradient, velocity one arena each, laid out alike
 * @param state.step u32 [4]: number, seed, learning rate (the bits of a float32)
 */
export function sgd(
  parameters: Tensor,
  gradient: Tensor,
  velocity: Tensor,
  { step, halted, finite }: { step: Tensor; halted: Tensor; finite?: Tensor },
  attributes: SgdAttributes,
): void {
  const inputs = [step, halted, parameters, gradient, velocity, ...(finite ? [finite] : [])];
  parameters.graph.apply(sgdOp, inputs, attributes);
}

function requireState(op: string, step: Tensor, halted: Tensor): void {
  requireShape(op, 'step', step, [4]);
  requireShape(op, 'halted', halted, [1]);
}

const averageOp: Op<{ momentum: number }> = {
  name: 'running_statistics',
  effect: true,
  outputs([step, halted, running, batch]) {
    requireState('running_statistics', step!, halted!);
    requireShape('running_statistics', 'input', batch!, running!.shape);
    return [];
  },
  lower: ({ inputs: [step, halted, running, batch], attributes }) => [
    runningStatistics(
      { size: sizeOf(running!.shape), ...attributes },
      { batch: batch!, step: step!, halted: halted!, running: running! },
    ),
  ],
};

/** running = (1 - momentum) running + momentum batch, for all statistics of a network at once, unless halted. */
export function updateRunningStatistics(
  running: Tensor,
  batch: Tensor,
  state: { step: Tensor; halted: Tensor },
  attributes: { momentum: number },
): void {
  running.graph.apply(averageOp, [state.step, state.halted, running, batch], attributes);
}

/** Where each input of a pack lies in it, in elements. */
interface PackAttributes {
  readonly offsets: readonly number[];
  readonly size: number;
}

/** Makes no dispatch: the planner lets its inputs be computed in place. */
export const packOp: Op<PackAttributes> = {
  name: 'pack',
  outputs(parts, { offsets, size }) {
    let end = 0;
    parts.forEach((part, i) => {
      const offset = offsets[i]!;
      if (!part.node) throw new ShapeError(`pack: ${part.name} is not the output of an op`);
      if (offset % VIEW_ALIGNMENT !== 0 || offset < end || offset + sizeOf(part.shape) > size) {
        throw new ShapeError(
          `pack: ${part.name} of ${showShape(part.shape)} at element ${offset} is not aligned to ${VIEW_ALIGNMENT}, or overlaps the part before it or the end at ${size}`,
        );
      }
      end = offset + sizeOf(part.shape);
    });
    return [[size]];
  },
  lower: () => [],
};

/**
 * One tensor of `size` elements in which each of `parts` lies at its offset: they are computed there in the first place,
 * nothing is copied. Elements between them are zero. Parts must be outputs of ops, each
 * packed once, in order of their offsets, which are multiples of {@link VIEW_ALIGNMENT}.
 * @throws ShapeError where they are not, or do not fit
 */
export function pack(parts: readonly Tensor[], offsets: readonly number[], size: number): Tensor {
  return parts[0]!.graph.apply(packOp, parts, { offsets, size })[0]!;
}
