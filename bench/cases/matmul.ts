import type { CaseOf } from '../workloads.js';
import type { Scale } from './index.js';

/** Square matrix products, and the last layer of WRN-40-2 on a mixed batch of 384. */
export function matmuls({ quick }: Scale): CaseOf<'matmul'>[] {
  const product = (name: string, m: number, k: number, n: number): CaseOf<'matmul'> => ({
    name,
    kind: 'matmul',
    parameters: { m, n, k },
    flops: 2 * m * n * k,
    tolerance: 1e-5,
  });
  const squares = quick ? [512] : [512, 1024, 2048];
  return [
    ...squares.map((size) => product(`matmul ${size}`, size, size, size)),
    product('matmul fc 384x128x10', 384, 128, 10),
  ];
}
