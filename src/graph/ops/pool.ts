import * as kernels from '../../kernels/reduce.js';
import { type Op, requireShape, type Tensor } from '../graph.js';

const poolShape = (x: Tensor): kernels.PoolShape => {
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  return { batch, positions: height * width, channels };
};

const poolOp: Op<undefined> = {
  name: 'global_average_pool',
  outputs([x]) {
    requireShape('global_average_pool', 'input', x!, [-1, -1, -1, -1]);
    return [[x!.shape[0]!, x!.shape[3]!]];
  },
  lower: ({ inputs: [x], outputs: [y] }) => [kernels.globalAveragePool(poolShape(x!), { x: x!, y: y! })],
  vjp: ({ inputs: [x] }, [gradient]) => x!.graph.apply(poolBackwardOp, [gradient!], x!.shape),
};

const poolBackwardOp: Op<readonly number[]> = {
  name: 'global_average_pool_backward',
  outputs: (_, shape) => [shape],
  lower: ({ inputs: [gradient], outputs: [y] }) => [
    kernels.globalAveragePoolBackward(poolShape(y!), { gradient: gradient!, y: y! }),
  ],
};

/** Mean over height and width: [batch, height, width, channels] to [batch, channels]. */
export function globalAveragePool(x: Tensor): Tensor {
  return x.graph.apply(poolOp, [x], undefined)[0]!;
}
