import { type Dispatch, WORKGROUP } from './dispatch.js';

/** A matrix of rows: one invocation goes along each. */
export interface RowsShape {
  readonly rows: number;
  readonly columns: number;
}

const perRow = (rows: number): [number, number, number] => [Math.ceil(rows / WORKGROUP), 1, 1];

/**
 * [largest, Σ of the others' exp((f - largest)/T), Σ of the same less 1 each] of each row of `logits` [rows, columns], in `y`
 * [rows, 3]: what logsumexp and softmax are made of, at any temperature T.
 */
export function exponentials<B>(
  { rows, columns, temperature }: RowsShape & { temperature: number },
  { logits, y }: { logits: B; y: B },
): Dispatch<B> {
  return {
    shader: 'exponentials',
    constants: { ROWS: rows, CLASSES: columns, TEMPERATURE: temperature, WORKGROUP },
    bindings: [logits, y],
    workgroups: perRow(rows),
  };
}

/**
 * Generalised entropy Σ (p (1 - p))^gamma over the `count` largest probabilities of each row of `logits` [rows, columns], two
 * columns or more. `top` [rows, count] holds their logits, ascending; `y` is [rows].
 */
export function generalisedEntropy<B>(
  { rows, columns, count, gamma }: RowsShape & { count: number; gamma: number },
  { logits, top, y }: { logits: B; top: B; y: B },
): Dispatch<B> {
  return {
    shader: 'generalised_entropy',
    constants: { ROWS: rows, CLASSES: columns, COUNT: count, GAMMA: gamma, WORKGROUP },
    bindings: [logits, top, y],
    workgroups: perRow(rows),
  };
}

/**
 * The `count` largest of the first `columns` of each row of `x` [rows, stride], and of `previous` [rows, count] where given:
 * the `stored` least of these, ascending, in `y` [rows, stored].
 */
export function largest<B>(
  { rows, columns, stride, count, stored }: RowsShape & { stride: number; count: number; stored: number },
  { x, previous, y }: { x: B; previous?: B | undefined; y: B },
): Dispatch<B> {
  return {
    shader: 'largest',
    constants: {
      ROWS: rows,
      COLUMNS: columns,
      STRIDE: stride,
      COUNT: count,
      STORED: stored,
      CONTINUED: previous !== undefined,
      WORKGROUP,
    },
    bindings: previous === undefined ? [x, y] : [x, y, previous],
    workgroups: perRow(rows),
  };
}

/**
 * Activation shaping (ASH-S): of each row of `x` [rows, columns] the `kept` largest, scaled by exp(sum of all / sum of these),
 * the others 0. `top` [rows, kept] holds the largest, ascending.
 */
export function prune<B>(
  { rows, columns, kept }: RowsShape & { kept: number },
  { x, top, y }: { x: B; top: B; y: B },
): Dispatch<B> {
  return {
    shader: 'prune',
    constants: { ROWS: rows, SIZE: columns, KEPT: kept, WORKGROUP },
    bindings: [x, top, y],
    workgroups: perRow(rows),
  };
}

/** y[n] = Σ x[n]², of each row of `x` [rows, columns]. */
export function rowSquares<B>({ rows, columns }: RowsShape, { x, y }: { x: B; y: B }): Dispatch<B> {
  return {
    shader: 'row_squares',
    constants: { ROWS: rows, SIZE: columns, WORKGROUP },
    bindings: [x, y],
    workgroups: perRow(rows),
  };
}

/** y[n] = x[n] / |x[n]|, of each row of `x` [rows, columns]; rows of zeros stay. */
export function unitRows<B>({ rows, columns }: RowsShape, { x, y }: { x: B; y: B }): Dispatch<B> {
  return {
    shader: 'unit_rows',
    constants: { ROWS: rows, SIZE: columns, WORKGROUP },
    bindings: [x, y],
    workgroups: perRow(rows),
  };
}
