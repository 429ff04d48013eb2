import {
  type BatchNormFold,
  batchNormBackwardPartials,
  batchNormChunks,
  batchNormMostChunks,
} from '../../kernels/batch-norm.js';
import * as kernels from '../../kernels/reduce.js';
import { isHalf, type Op, requireShape, type Shape, type Tensor } from '../graph.js';

const poolShape = (x: Tensor): kernels.PoolShape => {
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  return { batch, positions: height * width, channels };
};

const poolOp: Op<undefined> = {
  name: 'global_average_pool',
  float16: 0,
  outputs([x]) {
    requireShape('global_average_pool', 'input', x!, [-1, -1, -1, -1]);
    return [[x!.shape[0]!, x!.shape[3]!]];
  },
  lower: ({ inputs: [x], outputs: [y] }, _, options) => [
    kernels.globalAveragePool(poolShape(x!), { x: x!, y: y! }, { float16: isHalf(x!, options) }),
  ],
  vjp: ({ inputs: [x] }, [gradient]) =>
    x!.graph.apply(poolBackwardOp, [gradient!], { shape: x!.shape, fold: undefined }),
};

/**
 * Inputs: the gradient and, where `fold`, those of the batch norm whose sums are made as well: x, figures and, where there is
 * dropout, step. Outputs: the gradient of the input, and those sums.
 */
const poolBackwardOp: Op<{ shape: Shape; fold: BatchNormFold | undefined }> = {
  name: 'global_average_pool_backward',
  float16: 1,
  outputs: (_, { shape }) => [shape],
  lower({ inputs: [gradient, x, figures, step], outputs: [y, partials], attributes: { fold } }, _, options) {
    const float16 = isHalf(y!, options);
    const { batch, positions, channels } = poolShape(y!);
    if (!fold) return [kernels.globalAveragePoolBackward(poolShape(y!), { gradient: gradient!, y: y! }, { float16 })];
    const buffers = { x: x!, gradient: gradient!, figures: figures!, step, partials: partials! };
    return [
      batchNormBackwardPartials({ rows: batch * positions, channels }, { ...fold, float16 }, buffers, {
        pooled: { positions, y: y! },
        workgroupMemory: options.workgroupMemory,
      }),
    ];
  },
  chunks({ outputs: [y] }, options) {
    const { batch, positions } = poolShape(y!);
    return batchNormChunks({ rows: batch * positions }, options);
  },
  gradientSums(node, { x, figures, step, fold }) {
    const { batch, positions, channels } = poolShape(x);
    const inputs = [x, figures, ...(fold.dropout > 0 ? [step!] : [])];
    const isLater = inputs.every((input) => x.graph.isAfter(node.outputs[0]!, input));
    if (node.attributes.fold || !isLater) return undefined;
    const chunks = batchNormMostChunks({ rows: batch * positions });
    return x.graph.amend(node, { inputs, attributes: { fold } }, [chunks, 2, channels]);
  },
};

/** Mean over height and width: [batch, height, width, channels] to [batch, channels]. */
export function globalAveragePool(x: Tensor): Tensor {
  return x.graph.apply(poolOp, [x], undefined)[0]!;
}
