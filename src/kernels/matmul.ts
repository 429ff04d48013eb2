import { type Dispatch, LANES, vectorWidth, WORKGROUP } from './dispatch.js';

/** y = op(a) op(b): op(a) is [m, k], op(b) is [k, n]; a transposed operand is stored as [k, m] or [n, k]. */
export interface MatmulShape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA?: boolean | undefined;
  readonly transposeB?: boolean | undefined;
}

/** Rows and vectors of columns an invocation computes: large tiles where there are enough of them to fill a device. */
const LARGE = { rows: 8, columns: 4 };
const SMALL = { rows: 2, columns: 1 };
const LARGE_FROM = 256;

/** Matrix product, with `bias` [n] added to every row where given. `y` is [m, n]. */
export function matmul<B>(
  { m, n, k, transposeA = false, transposeB = false }: MatmulShape,
  { a, b, y, bias }: { a: B; b: B; y: B; bias?: B | undefined },
): Dispatch<B> {
  const outWidth = transposeB ? 1 : vectorWidth(n);
  const { rows, columns } = m >= LARGE_FROM && n >= LARGE_FROM ? LARGE : SMALL;
  return {
    shader: 'matmul',
    constants: {
      IN_WIDTH: transposeA ? 1 : vectorWidth(k),
      OUT_WIDTH: outWidth,
      M: m,
      N: n,
      K: k,
      TRANSPOSE_A: transposeA,
      TRANSPOSE_B: transposeB,
      BIASED: bias !== undefined,
      ROWS: rows,
      COLUMNS: columns,
      HELD: Math.ceil(((transposeA ? 1 : vectorWidth(k)) * columns) / LANES),
      WORKGROUP,
    },
    bindings: bias === undefined ? [a, b, y] : [a, b, bias, y],
    workgroups: [Math.ceil(m / (rows * WORKGROUP)), Math.ceil(n / outWidth / columns), 1],
  };
}
