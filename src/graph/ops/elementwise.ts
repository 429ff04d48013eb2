import { UsageError } from '../../errors.js';
import * as kernels from '../../kernels/elementwise.js';
import { type Op, requireShape, sizeOf, type Tensor } from '../graph.js';

const addOp: Op<undefined> = {
  name: 'add',
  outputs([a, b]) {
    requireShape('add', 'second operand', b!, a!.shape);
    return [a!.shape];
  },
  lower: ({ inputs: [a, b], outputs: [y] }) => [kernels.add(sizeOf(y!.shape), { a: a!, b: b!, y: y! })],
  vjp: (_, [gradient]) => [gradient, gradient],
};

/** a + b, of one shape. */
export function add(a: Tensor, b: Tensor): Tensor {
  return a.graph.apply(addOp, [a, b], undefined)[0]!;
}

const reluOp: Op<undefined> = {
  name: 'relu',
  outputs: ([x]) => [x!.shape],
  lower: ({ inputs: [x], outputs: [y] }) => [kernels.relu(sizeOf(y!.shape), { x: x!, y: y! })],
  vjp: ({ inputs: [x] }, [gradient]) => x!.graph.apply(reluBackwardOp, [x!, gradient!], undefined),
};

const reluBackwardOp: Op<undefined> = {
  name: 'relu_backward',
  outputs: ([x]) => [x!.shape],
  lower: ({ inputs: [x, gradient], outputs: [y] }) => [
    kernels.reluBackward(sizeOf(y!.shape), { x: x!, gradient: gradient!, y: y! }),
  ],
};

/** max(x, 0). Its gradient at 0 is 0. */
export function relu(x: Tensor): Tensor {
  return x.graph.apply(reluOp, [x], undefined)[0]!;
}

const clipOp: Op<undefined> = {
  name: 'clip',
  outputs([x, most]) {
    requireShape('clip', 'most', most!, [1]);
    return [x!.shape];
  },
  lower: ({ inputs: [x, most], outputs: [y] }) => [kernels.clip(sizeOf(y!.shape), { x: x!, most: most!, y: y! })],
};

/** min(x, most), of any shape; `most` is [1]. */
export function clip(x: Tensor, most: Tensor): Tensor {
  return x.graph.apply(clipOp, [x, most], undefined)[0]!;
}

interface DropoutAttributes {
  readonly rate: number;
}

const dropoutOp: Op<DropoutAttributes> = {
  name: 'dropout',
  outputs([x, step]) {
    requireShape('dropout', 'step', step!, [4]);
    return [x!.shape];
  },
  lower: ({ inputs: [x, step], outputs: [y], attributes }) => [
    kernels.dropout({ size: sizeOf(y!.shape), ...attributes }, { x: x!, step: step!, y: y! }),
  ],
  vjp: ({ inputs: [, step], attributes }, [gradient]) => [dropout(gradient!, step!, attributes)],
};

/** @throws UsageError where a dropout rate is no probability below 1 */
export function requireRate(rate: number): void {
  if (!(rate >= 0 && rate < 1)) throw new UsageError(`dropout ${rate} is not a probability below 1`);
}

/**
 * Inverted dropout: an element is zeroed with probability `rate`, the others are divided by 1 - rate. The mask depends on
 * `step` (u32 [4]: number, seed, .., stream; give each layer a stream of its own) and the element's index, and on nothing else.
 * @throws UsageError where `rate` is not from 0 to below 1
 */
export function dropout(x: Tensor, step: Tensor, attributes: DropoutAttributes): Tensor {
  requireRate(attributes.rate);
  return x.graph.apply(dropoutOp, [x, step], attributes)[0]!;
}
