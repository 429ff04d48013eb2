import { type Graph, type Tensor, VIEW_ALIGNMENT } from '../graph/graph.js';
import { BATCH_NORM_EPSILON } from '../kernels/batch-norm.js';
import type { Network } from './network.js';

/** Every batch norm of a network as a factor and a summand a channel, with the running statistics. */
export interface FoldedBatchNorms {
  /** [2, channels] each, from its offset on. */
  readonly data: Float32Array;
  /** By the batch norm's name; `offset` in elements. */
  readonly entries: ReadonlyMap<string, { readonly offset: number; readonly channels: number }>;
}

/** Fold gamma, beta and the running statistics, in float64: y = x * factor + summand. */
export function foldBatchNorms({ state }: Network): FoldedBatchNorms {
  const entries = new Map<string, { offset: number; channels: number }>();
  let size = 0;
  for (const [key, { data }] of state) {
    if (!key.endsWith('.running_mean')) continue;
    entries.set(key.slice(0, -'.running_mean'.length), { offset: size, channels: data.length });
    size += Math.ceil((2 * data.length) / VIEW_ALIGNMENT) * VIEW_ALIGNMENT;
  }
  const data = new Float32Array(size);
  for (const [name, { offset, channels }] of entries) {
    const [gamma, beta, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
      (part) => state.get(`${name}.${part}`)!.data,
    ) as [Float32Array, Float32Array, Float32Array, Float32Array];
    for (let c = 0; c < channels; c++) {
      const factor = gamma[c]! / Math.sqrt(variance[c]! + BATCH_NORM_EPSILON);
      data[offset + c] = factor;
      data[offset + channels + c] = beta[c]! - mean[c]! * factor;
    }
  }
  return { data, entries };
}

/** Folded batch norms as an input of a graph, and each of them as [2, channels] by name. */
export function foldedInputs(
  graph: Graph,
  { data, entries }: FoldedBatchNorms,
): { input: Tensor; affine: (batchNorm: string) => Tensor } {
  const input = graph.input('folded batch norms', [data.length]);
  return {
    input,
    affine: (name) => {
      const { offset, channels } = entries.get(name)!;
      return graph.view(input, `${name} folded`, offset, [2, channels]);
    },
  };
}
