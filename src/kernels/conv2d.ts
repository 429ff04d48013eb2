import { type Dispatch, largestDivisor, vectorWidth, WORKGROUP } from './dispatch.js';

/** A square convolution with `(kernel - 1) / 2` zero padding on each side (so `kernel` is odd). Sizes in pixels. */
export interface Conv2dShape {
  readonly batch: number;
  readonly inHeight: number;
  readonly inWidth: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: number;
}

/** Output height and width: `ceil(in / stride)`. */
export function conv2dOutput(shape: Conv2dShape): { height: number; width: number } {
  return { height: Math.ceil(shape.inHeight / shape.stride), width: Math.ceil(shape.inWidth / shape.stride) };
}

const padding = (shape: Conv2dShape) => (shape.kernel - 1) / 2;

/** Output pixels an invocation computes. Large tiles amortise the loads of activations, which are the slow ones. */
const PIXELS = 4;

/** Vectors of output channels an invocation computes: as many as divide them and stay in registers. */
const columnsOf = (vectors: number) => largestDivisor(vectors, [4, 2]);

/**
 * Convolution, forward. `x` is [batch, inHeight, inWidth, inChannels], `w` [kernel, kernel, inChannels, outChannels], `y`
 * [batch, outHeight, outWidth, outChannels]; `residual`, of y's shape, is added on store.
 */
export function conv2dForward<B>(
  shape: Conv2dShape,
  { x, w, y, residual }: { x: B; w: B; y: B; residual?: B | undefined },
): Dispatch<B> {
  const { height, width } = conv2dOutput(shape);
  const outWidth = vectorWidth(shape.outChannels);
  const columns = columnsOf(shape.outChannels / outWidth);
  return {
    shader: 'conv2d',
    constants: {
      IN_WIDTH: vectorWidth(shape.inChannels),
      OUT_WIDTH: outWidth,
      BATCH: shape.batch,
      IN_H: shape.inHeight,
      IN_W: shape.inWidth,
      IN_C: shape.inChannels,
      OUT_H: height,
      OUT_W: width,
      OUT_C: shape.outChannels,
      GRID_H: height,
      GRID_W: width,
      KERNEL: shape.kernel,
      STRIDE: shape.stride,
      PADDING: padding(shape),
      RESIDUAL: residual !== undefined,
      PIXELS,
      COLUMNS: columns,
      WORKGROUP,
    },
    bindings: [x, w, residual ?? w, y],
    workgroups: [
      Math.ceil((shape.batch * height * width) / (PIXELS * WORKGROUP)),
      shape.outChannels / outWidth / columns,
      1,
    ],
  };
}

/**
 * Convolution, backward-data: the gradient of the input. `shape` is that of the forward convolution; `gradient` is
 * [batch, outHeight, outWidth, outChannels], `w` its filter with channels swapped, [kernel, kernel, outChannels, inChannels]
 * (see {@link transposeFilter}), `y` [batch, inHeight, inWidth, inChannels]; `residual`, of y's shape, is added on store.
 */
export function conv2dBackwardData<B>(
  shape: Conv2dShape,
  { gradient, w, y, residual }: { gradient: B; w: B; y: B; residual?: B | undefined },
): Dispatch<B> {
  const { height, width } = conv2dOutput(shape);
  const outWidth = vectorWidth(shape.inChannels);
  const columns = columnsOf(shape.inChannels / outWidth);
  return {
    shader: 'conv2d',
    constants: {
      IN_WIDTH: vectorWidth(shape.outChannels),
      OUT_WIDTH: outWidth,
      BATCH: shape.batch,
      IN_H: height,
      IN_W: width,
      IN_C: shape.outChannels,
      OUT_H: shape.inHeight,
      OUT_W: shape.inWidth,
      OUT_C: shape.inChannels,
      GRID_H: height,
      GRID_W: width,
      KERNEL: shape.kernel,
      STRIDE: shape.stride,
      PADDING: padding(shape),
      BACKWARD: true,
      RESIDUAL: residual !== undefined,
      PIXELS,
      COLUMNS: columns,
      WORKGROUP,
    },
    bindings: [gradient, w, residual ?? w, y],
    workgroups: [
      Math.ceil((shape.batch * height * width) / (PIXELS * WORKGROUP)),
      shape.inChannels / outWidth / columns,
      shape.stride ** 2,
    ],
  };
}

/** Swap the channels of a filter: `x` [taps, inChannels, outChannels] to `y` [taps, outChannels, inChannels]. */
export function transposeFilter<B>(
  { taps, inChannels, outChannels }: { taps: number; inChannels: number; outChannels: number },
  { x, y }: { x: B; y: B },
): Dispatch<B> {
  return {
    shader: 'transpose_filter',
    constants: { TAPS: taps, IN_C: inChannels, OUT_C: outChannels, WORKGROUP },
    bindings: [x, y],
    workgroups: [Math.ceil((taps * inChannels * outChannels) / WORKGROUP), 1, 1],
  };
}

/** Into how many parts backward-weights cuts its sum: enough workgroups to fill a device, no more than there are rows. */
export function conv2dSplits(shape: Conv2dShape): number {
  const rows = shape.batch * conv2dOutput(shape).height;
  const wanted = Math.min(rows, 64);
  return Math.ceil(rows / Math.ceil(rows / wanted));
}

/**
 * Convolution, backward-weights, as partial sums: `x` is the forward input, `gradient` that of the output, `partials`
 * [conv2dSplits(shape), kernel, kernel, inChannels, outChannels], to be added up over its first axis.
 */
export function conv2dBackwardWeights<B>(
  shape: Conv2dShape,
  { x, gradient, partials }: { x: B; gradient: B; partials: B },
): Dispatch<B> {
  const { height, width } = conv2dOutput(shape);
  const inWidth = vectorWidth(shape.inChannels);
  const outWidth = vectorWidth(shape.outChannels);
  const columns = columnsOf(shape.outChannels / outWidth);
  const rows = shape.kernel ** 2 * (shape.inChannels / inWidth);
  const workgroup = Math.min(Math.ceil(rows / 8) * 8, WORKGROUP);
  const splits = conv2dSplits(shape);
  return {
    shader: 'conv2d_backward_weights',
    constants: {
      IN_WIDTH: inWidth,
      OUT_WIDTH: outWidth,
      BATCH: shape.batch,
      IN_H: shape.inHeight,
      IN_W: shape.inWidth,
      IN_C: shape.inChannels,
      OUT_H: height,
      OUT_W: width,
      OUT_C: shape.outChannels,
      KERNEL: shape.kernel,
      STRIDE: shape.stride,
      PADDING: padding(shape),
      SPLITS: splits,
      COLUMNS: columns,
      WORKGROUP: workgroup,
    },
    bindings: [x, gradient, partials],
    workgroups: [Math.ceil(rows / workgroup), shape.outChannels / outWidth / columns, splits],
  };
}
