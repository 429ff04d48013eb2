import type { Dispatch } from './dispatch.js';

/** y = op(a) op(b): op(a) is [m, k], op(b) is [k, n]; a transposed operand is stored as [k, m] or [n, k]. */
export interface MatmulShape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA?: boolean | undefined;
  readonly transposeB?: boolean | undefined;
}

const TILE = 4;
const WORKGROUP_SIDE = 8;

/** Matrix product, with `bias` [n] added to every row where given. `y` is [m, n]. */
export function matmul<B>(
  shape: MatmulShape,
  { a, b, y, bias }: { a: B; b: B; y: B; bias?: B | undefined },
): Dispatch<B> {
  const side = TILE * WORKGROUP_SIDE;
  return {
    shader: 'matmul',
    constants: {
      M: shape.m,
      N: shape.n,
      K: shape.k,
      TRANSPOSE_A: shape.transposeA ?? false,
      TRANSPOSE_B: shape.transposeB ?? false,
      HAS_BIAS: bias !== undefined,
      TILE,
    },
    bindings: [a, b, bias ?? a, y],
    workgroups: [Math.ceil(shape.n / side), Math.ceil(shape.m / side), 1],
  };
}
