import * as kernels from '../../kernels/rows.js';
import { type Op, requireShape, type Tensor } from '../graph.js';

const shapeOf = ({ shape }: Tensor): kernels.RowsShape => ({ rows: shape[0]!, columns: shape[1]! });

const exponentialsOp: Op<{ readonly temperature: number }> = {
  name: 'exponentials',
  outputs([logits]) {
    requireShape('exponentials', 'logits', logits!, [-1, -1]);
    return [[logits!.shape[0]!, 3]];
  },
  lower: ({ inputs: [logits], outputs: [y], attributes }) => [
    kernels.exponentials({ ...shapeOf(logits!), ...attributes }, { logits: logits!, y: y! }),
  ],
};

/**
 * Of each row of `logits` [rows, classes], [rows, 3]: the largest f_b, Σ exp((f_k - f_b)/T) over the others, and
 * Σ (exp((f_k - f_b)/T) - 1). `logSumExp` makes the energy of these.
 */
export function exponentials(logits: Tensor, temperature: number): Tensor {
  return logits.graph.apply(exponentialsOp, [logits], { temperature })[0]!;
}

const generalisedEntropyOp: Op<{ readonly gamma: number }> = {
  name: 'generalised_entropy',
  outputs([logits, top]) {
    requireShape('generalised_entropy', 'logits', logits!, [-1, -1]);
    requireShape('generalised_entropy', 'largest logits', top!, [logits!.shape[0]!, -1]);
    return [[logits!.shape[0]!, 1]];
  },
  lower: ({ inputs: [logits, top], outputs: [y], attributes }) => [
    kernels.generalisedEntropy(
      { ...shapeOf(logits!), count: top!.shape[1]!, ...attributes },
      { logits: logits!, top: top!, y: y! },
    ),
  ],
};

/** Σ (p (1 - p))^gamma over the `count` largest softmax probabilities of each row of `logits`: [rows, 1]. */
export function generalisedEntropy(logits: Tensor, { gamma, count }: { gamma: number; count: number }): Tensor {
  const top = largest(logits, Math.min(count, logits.shape[1]!));
  return logits.graph.apply(generalisedEntropyOp, [logits, top], { gamma })[0]!;
}

interface LargestAttributes {
  readonly count: number;
  readonly columns: number;
  readonly stored: number;
}

const largestOp: Op<LargestAttributes> = {
  name: 'largest',
  outputs([x, previous], { count, stored }) {
    requireShape('largest', 'operand', x!, [-1, -1]);
    if (previous) requireShape('largest', 'previous', previous, [x!.shape[0]!, count]);
    return [[x!.shape[0]!, stored]];
  },
  lower({ inputs: [x, previous], outputs: [y], attributes }) {
    const [rows, stride] = x!.shape as [number, number];
    return [kernels.largest({ rows, stride, ...attributes }, { x: x!, previous, y: y! })];
  },
};

/**
 * The `count` largest of each row of `x` [rows, n], ascending: [rows, count].
 * @param options.columns look at the first so many alone
 * @param options.previous [rows, count]: the largest of other columns, to choose among too
 * @param options.stored keep the so many least of them: 1 for the count-th largest
 */
export function largest(
  x: Tensor,
  count: number,
  options: { columns?: number; previous?: Tensor | undefined; stored?: number } = {},
): Tensor {
  const { columns = x.shape[1]!, previous, stored = count } = options;
  return x.graph.apply(largestOp, previous ? [x, previous] : [x], { count, columns, stored })[0]!;
}

const pruneOp: Op<undefined> = {
  name: 'prune',
  outputs([x, top]) {
    requireShape('prune', 'operand', x!, [-1, -1]);
    requireShape('prune', 'largest', top!, [x!.shape[0]!, -1]);
    return [x!.shape];
  },
  lower: ({ inputs: [x, top], outputs: [y] }) => [
    kernels.prune({ ...shapeOf(x!), kept: top!.shape[1]! }, { x: x!, top: top!, y: y! }),
  ],
};

/**
 * Of each row of `x` the `kept` largest, scaled by exp(sum of all / sum of these), the others 0 (ASH-S, Djurisic et al.
 * 2023).
 */
export function prune(x: Tensor, kept: number): Tensor {
  return x.graph.apply(pruneOp, [x, largest(x, kept)], undefined)[0]!;
}

const rowSquaresOp: Op<undefined> = {
  name: 'row_squares',
  outputs([x]) {
    requireShape('row_squares', 'operand', x!, [-1, -1]);
    return [[x!.shape[0]!, 1]];
  },
  lower: ({ inputs: [x], outputs: [y] }) => [kernels.rowSquares(shapeOf(x!), { x: x!, y: y! })],
};

/** The squared length of each row of `x`: [rows, 1]. */
export function rowSquares(x: Tensor): Tensor {
  return x.graph.apply(rowSquaresOp, [x], undefined)[0]!;
}

const unitRowsOp: Op<undefined> = {
  name: 'unit_rows',
  outputs([x]) {
    requireShape('unit_rows', 'operand', x!, [-1, -1]);
    return [x!.shape];
  },
  lower: ({ inputs: [x], outputs: [y] }) => [kernels.unitRows(shapeOf(x!), { x: x!, y: y! })],
};

/** Each row of `x` over its length; rows of zeros stay. */
export function unitRows(x: Tensor): Tensor {
  return x.graph.apply(unitRowsOp, [x], undefined)[0]!;
}
