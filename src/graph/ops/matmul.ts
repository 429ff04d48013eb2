import * as kernels from '../../kernels/matmul.js';
import { sumLeading } from '../../kernels/reduce.js';
import { type Op, requireShape, type Tensor } from '../graph.js';

interface Transposition {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

const shapeOf = (a: Tensor, b: Tensor, { transposeA, transposeB }: Transposition): kernels.MatmulShape => {
  const [m, k] = transposeA ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
  return { m, n: transposeB ? b.shape[0]! : b.shape[1]!, k, transposeA, transposeB };
};

/** Inputs: a, b and, where there is one, the bias. */
const matmulOp: Op<Transposition> = {
  name: 'matmul',
  outputs([a, b, bias], attributes) {
    requireShape('matmul', 'left operand', a!, [-1, -1]);
    const { transposeA, transposeB } = attributes;
    const k = a!.shape[transposeA ? 0 : 1]!;
    requireShape('matmul', 'right operand', b!, transposeB ? [-1, k] : [k, -1]);
    const { m, n } = shapeOf(a!, b!, attributes);
    if (bias) requireShape('matmul', 'bias', bias, [n]);
    return [[m, n]];
  },
  lower: ({ inputs: [a, b, bias], outputs: [y], attributes }, _, { workgroupMemory, lanes }) => [
    kernels.matmul(shapeOf(a!, b!, attributes), { a: a!, b: b!, bias, y: y! }, { workgroupMemory, lanes }),
  ],
  vjp({ inputs: [a, b, bias], attributes: { transposeA, transposeB } }, [g], needed) {
    const dA = () =>
      transposeA
        ? matmul(b!, g!, { transposeA: transposeB, transposeB: true })
        : matmul(g!, b!, { transposeB: !transposeB });
    const dB = () =>
      transposeB
        ? matmul(g!, a!, { transposeA: true, transposeB: transposeA })
        : matmul(a!, g!, { transposeA: !transposeA });
    return [
      needed[0] ? dA() : undefined,
      needed[1] ? dB() : undefined,
      bias && needed[2] ? g!.graph.apply(sumRowsOp, [g!], undefined)[0] : undefined,
    ];
  },
};

const sumRowsOp: Op<undefined> = {
  name: 'sum_rows',
  outputs: ([x]) => [[x!.shape[1]!]],
  lower: ({ inputs: [x], outputs: [y] }, _, options) => [
    sumLeading({ count: x!.shape[0]!, size: x!.shape[1]! }, { x: x!, y: y! }, options),
  ],
};

/**
 * Matrix product op(a) op(b), plus `bias` on every row.
 * @param a [m, k], or [k, m] with transposeA
 * @param b [k, n], or [n, k] with transposeB
 * @param options.bias [n]
 * @throws ShapeError where the shapes do not fit
 */
export function matmul(
  a: Tensor,
  b: Tensor,
  options: { transposeA?: boolean; transposeB?: boolean; bias?: Tensor | undefined } = {},
): Tensor {
  const { transposeA = false, transposeB = false, bias } = options;
  return a.graph.apply(matmulOp, bias ? [a, b, bias] : [a, b], { transposeA, transposeB })[0]!;
}
