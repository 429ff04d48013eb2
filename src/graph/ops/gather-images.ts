import * as kernels from '../../kernels/gather-images.js';
import { type Op, requireShape, type Tensor, VIEW_ALIGNMENT } from '../graph.js';

export type { Normalization } from '../../kernels/gather-images.js';

/** One piece of a data set on the GPU: images `start` .. `start + count - 1`, as u32 words of uint8 pixels. */
export interface DataChunk {
  readonly tensor: Tensor;
  readonly start: number;
  readonly count: number;
}

/** Which images of a data set make up rows of the batch. */
export interface GatherSource {
  readonly chunks: readonly DataChunk[];
  /** u32 [rows] */
  readonly indices: Tensor;
}

interface GatherAttributes {
  readonly height: number;
  readonly width: number;
  readonly normalization: kernels.Normalization;
  readonly augment: boolean;
  readonly sources: readonly GatherSource[];
}

const gatherOp: Op<GatherAttributes> = {
  name: 'gather_images',
  outputs([step], { height, width, sources }) {
    requireShape('gather_images', 'step', step!, [4]);
    for (const { indices, chunks } of sources) {
      requireShape('gather_images', 'indices', indices, [-1]);
      for (const { tensor, count } of chunks) {
        requireShape('gather_images', 'data', tensor, [Math.ceil((count * height * width * 3) / 4)]);
      }
    }
    return [[sources.reduce((rows, source) => rows + source.indices.shape[0]!, 0), height, width, 3]];
  },
  lower({ inputs: [step], outputs: [y], attributes }) {
    const { height, width, sources, ...rest } = attributes;
    let first = 0;
    return sources.flatMap(({ chunks, indices }, stream) => {
      const rows = indices.shape[0]!;
      // Sources that write views of their own can run side by side.
      const image = height * width * 3;
      const aligned = (first * image) % VIEW_ALIGNMENT === 0;
      const part = aligned ? y!.graph.view(y!, `${y!.name} rows`, first * image, [rows, height, width, 3]) : y!;
      const dispatches = chunks.map(({ tensor, start, count }) =>
        kernels.gatherImages(
          { rows, first: aligned ? 0 : first, start, count, height, width },
          { ...rest, stream },
          { data: tensor, indices, step: step!, y: part },
        ),
      );
      first += rows;
      return dispatches;
    });
  },
};

/**
 * A batch [rows, height, width, 3] gathered from data sets of bytes, the sources' rows one after the other, normalised, and
 * with `augment` flipped and cropped at random (drawn from `step`, u32 [4], the source and the row).
 */
export function gatherImages(
  sources: readonly GatherSource[],
  step: Tensor,
  options: { height: number; width: number; normalization: kernels.Normalization; augment: boolean },
): Tensor {
  const inputs = sources.flatMap(({ chunks, indices }) => [indices, ...chunks.map(({ tensor }) => tensor)]);
  return step.graph.apply(gatherOp, [step, ...inputs], { ...options, sources })[0]!;
}
