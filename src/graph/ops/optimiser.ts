import { ShapeError } from '../../errors.js';
import { runningStatistics } from '../../kernels/batch-norm.js';
import * as kernels from '../../kernels/sgd.js';
import { type Op, requireShape, showShape, sizeOf, type Tensor, VIEW_ALIGNMENT } from '../graph.js';

/**
 * An op that changes tensors in place and makes none. Its inputs are step, halted, the tensor it changes, and others of that
 * one's shape.
 */
const effect = <A>(name: string, lower: Op<A>['lower']): Op<A> => ({
  name,
  effect: true,
  outputs([step, halted, target, ...others]) {
    requireShape(name, 'step', step!, [4]);
    requireShape(name, 'halted', halted!, [1]);
    for (const other of others) requireShape(name, 'input', other, target!.shape);
    return [];
  },
  lower,
});

const finiteOp = effect('check_finite', ({ inputs: [step, halted, x] }) => [
  kernels.checkFinite(sizeOf(x!.shape), { x: x!, step: step!, halted: halted! }),
]);

/** Where an element of `x` is not finite, `halted` takes the step's number: no update after this one changes anything. */
export function haltUnlessFinite(x: Tensor, state: { step: Tensor; halted: Tensor }): void {
  x.graph.apply(finiteOp, [state.step, state.halted, x], undefined);
}

interface SgdAttributes {
  readonly momentum: number;
  readonly weightDecay: number;
}

const sgdOp = effect<SgdAttributes>('sgd', ({ inputs: [step, halted, w, gradient, velocity], attributes }) => {
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
  parameters.graph.apply(sgdOp, [state.step, state.halted, parameters, gradient, velocity], attributes);
}

const averageOp = effect<{ momentum: number }>(
  'running_statistics',
  ({ inputs: [step, halted, running, batch], attributes }) => [
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
