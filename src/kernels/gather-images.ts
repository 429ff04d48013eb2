import { type Constant, type Dispatch, grid, WORKGROUP } from './dispatch.js';

/** A batch of `rows` images, written from row `first` of the output, taken from one buffer of a data set. */
export interface GatherShape {
  readonly rows: number;
  readonly first: number;
  /** The data set's images `start` .. `start + count - 1` are in this buffer. */
  readonly start: number;
  readonly count: number;
  readonly height: number;
  readonly width: number;
}

/** Per channel, of pixels in 0..1: value = (pixel / 255 - mean) / std. */
export interface Normalization {
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** Pixels of black added on each side before the random crop. */
export const CROP_PADDING = 4;

/**
 * Gather, flip, crop and normalise: `data` is uint8 [count, height, width, 3], `indices` [rows] (u32, in the whole data
 * set), `y` [.., height, width, 3]. With `augment` the flip and crop are drawn from `step` ([number, seed]), `stream` and row.
 */
export function gatherImages<B>(
  shape: GatherShape,
  { normalization, augment, stream }: { normalization: Normalization; augment: boolean; stream: number },
  { data, indices, step, y }: { data: B; indices: B; step: B; y: B },
): Dispatch<B> {
  const { mean, std } = normalization;
  return {
    shader: 'gather_images',
    constants: {
      ROWS: shape.rows,
      FIRST: shape.first,
      START: shape.start,
      COUNT: shape.count,
      HEIGHT: shape.height,
      WIDTH: shape.width,
      AUGMENT: augment,
      PAD: CROP_PADDING,
      STREAM: stream,
      ...split(
        'MEAN',
        mean.map((value) => 255 * value),
      ),
      ...split(
        'SCALE',
        std.map((value) => 1 / (255 * value)),
      ),
      WORKGROUP,
    },
    bindings: [data, indices, step, y],
    workgroups: grid(shape.rows * shape.height * shape.width),
  };
}

/** Three numbers as two constants: their float32 values, and what these leave off. */
function split(name: string, values: readonly number[]): Record<string, Constant> {
  const triple = (f: (value: number) => number) => values.map(f) as [number, number, number];
  return { [name]: triple(Math.fround), [`${name}_LOW`]: triple((value) => value - Math.fround(value)) };
}
