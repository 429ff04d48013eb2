import { type Dispatch, vectorWidth, WORKGROUP } from './dispatch.js';
import { tile } from './tiles.js';

/** y = op(a) op(b): op(a) is [m, k], op(b) is [k, n]; a transposed operand is stored as [k, m] or [n, k]. */
export interface MatmulShape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA?: boolean | undefined;
  readonly transposeB?: boolean | undefined;
}

/** Matrix product, with `bias` [n] added to every row where given. `y` is [m, n]. */
export function matmul<B>(
  { m, n, k, transposeA = false, transposeB = false }: MatmulShape,
  { a, b, y, bias }: { a: B; b: B; y: B; bias?: B | undefined },
): Dispatch<B> {
  return tile({
    shader: 'matmul',
    constants: {
      IN_WIDTH: transposeA ? 1 : vectorWidth(k),
      OUT_WIDTH: transposeB ? 1 : vectorWidth(n),
      M: m,
      N: n,
      K: k,
      TRANSPOSE_A: transposeA,
      TRANSPOSE_B: transposeB,
      BIASED: bias !== undefined,
      WORKGROUP,
    },
    bindings: bias === undefined ? [a, b, y] : [a, b, bias, y],
  });
}
