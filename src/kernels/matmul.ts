import { type ConvolutionOptions, conv2dBackwardData, conv2dForward } from './conv2d.js';
import { type Dispatch, exchange, vectorWidth, WORKGROUP } from './dispatch.js';
import { tile } from './tiles.js';

/** y = op(a) op(b): op(a) is [m, k], op(b) is [k, n]; a transposed operand is stored as [k, m] or [n, k]. */
export interface MatmulShape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA?: boolean | undefined;
  readonly transposeB?: boolean | undefined;
}

/** Rows and columns from which on a product goes through workgroup memory. */
const LEAST_SHARED = 64;

/** Matrix product, with `bias` [n] added to every row where given. `y` is [m, n]. */
export function matmul<B>(
  { m, n, k, transposeA = false, transposeB = false }: MatmulShape,
  { a, b, y, bias }: { a: B; b: B; y: B; bias?: B | undefined },
  { workgroupMemory = false, lanes }: ConvolutionOptions = {},
): Dispatch<B> {
  const large = Math.min(m, n) >= LEAST_SHARED && n % 4 === 0 && k % 4 === 0;
  if (workgroupMemory && large && !transposeA && bias === undefined) {
    // A 1x1 convolution of a row of m pixels, or its backward-data.
    const [inChannels, outChannels] = transposeB ? [n, k] : [k, n];
    const shape = { batch: 1, inHeight: 1, inWidth: m, inChannels, outChannels, kernel: 1, stride: 1 };
    return transposeB
      ? conv2dBackwardData(shape, { gradient: a, w: [b], y }, { workgroupMemory })
      : conv2dForward(shape, { x: a, w: [b], y }, { workgroupMemory });
  }
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
      ...exchange({ lanes }),
      WORKGROUP,
    },
    bindings: bias === undefined ? [a, b, y] : [a, b, bias, y],
  });
}
