import { type Dispatch, LANES, largestDivisor, MAX_UNIFORM_BYTES, vectorWidth, WORKGROUP } from './dispatch.js';

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

const padding = (kernel: number) => (kernel - 1) / 2;

/** Output pixels an invocation computes. Large tiles amortise the loads of activations, which are the slow ones. */
const PIXELS = 4;

/** Of these, how many are accumulated at a time. */
const BLOCK = 2;

/** Output pixels that backward-weights takes at a time. */
const RUN = 4;

/** Vectors of output channels an invocation computes: as many as divide them and stay in registers. */
const columnsOf = (vectors: number) => largestDivisor(vectors, [4, 2]);

/** A filter as the kernel reads it: [kernel, kernel, inChannels, outChannels]. */
interface FilterShape {
  readonly kernel: number;
  readonly inChannels: number;
  readonly outChannels: number;
}

/**
 * Into how many parts, rows of it, a filter is bound: as many as make each fit a uniform buffer, 1 or `kernel`. Where none
 * does, it is one storage buffer.
 */
export function filterParts({ kernel, inChannels, outChannels }: FilterShape): { parts: number; uniform: boolean } {
  const rowElements = kernel * inChannels * outChannels;
  const fits = (rows: number) => outChannels % 4 === 0 && rows * rowElements * 4 <= MAX_UNIFORM_BYTES;
  if (fits(kernel)) return { parts: 1, uniform: true };
  // A binding starts at a multiple of 64 elements, and the shader has names for three.
  if (kernel === 3 && rowElements % 64 === 0 && fits(1)) return { parts: kernel, uniform: true };
  return { parts: 1, uniform: false };
}

/** Bindings, constants and uniforms that a filter adds to a convolution; `w` holds its parts. */
function filterBindings<B>(filter: FilterShape, w: readonly B[]) {
  const { parts, uniform } = filterParts(filter);
  if (w.length !== parts) throw new Error(`conv2d: a filter in ${parts} parts is bound in ${w.length}`);
  const length = (filter.kernel ** 2 * filter.inChannels * filter.outChannels) / parts / 4;
  return {
    bindings: [w[0]!, w[1] ?? w[0]!, w[2] ?? w[0]!],
    parts,
    uniforms: uniform ? { W0: length, W1: length, W2: length } : {},
  };
}

/** What the kernel reads and writes, in pixels and channels. */
interface Plane {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

interface Convolution<B> {
  readonly x: B;
  readonly w: readonly B[];
  readonly y: B;
  readonly residual?: B | undefined;
  readonly activation?: Activation<B> | undefined;
}

/**
 * Batch norm with fixed statistics, and ReLU, of what is stored: `affine` is [2, outChannels], factors and then summands. The
 * result goes to `activated`, of y's shape, where that is given, and else takes the place of y.
 */
export interface Activation<B> {
  readonly affine: B;
  readonly activated?: B | undefined;
}

/** Both directions: from `input` to `output`; backward takes its pixels in stride² classes, each on the grid of the smaller. */
function convolution<B>(
  { batch, kernel, stride }: Conv2dShape,
  { input, output, backward }: { input: Plane; output: Plane; backward: boolean },
  { x, w, y, residual, activation }: Convolution<B>,
): Dispatch<B> {
  const grid = backward ? input : output;
  const taps = backward ? Math.ceil(kernel / stride) : kernel;
  const outWidth = vectorWidth(output.channels);
  const columns = columnsOf(output.channels / outWidth);
  const filter = filterBindings({ kernel, inChannels: input.channels, outChannels: output.channels }, w);
  return {
    shader: 'conv2d',
    constants: {
      IN_WIDTH: vectorWidth(input.channels),
      OUT_WIDTH: outWidth,
      BATCH: batch,
      IN_H: input.height,
      IN_W: input.width,
      IN_C: input.channels,
      OUT_H: output.height,
      OUT_W: output.width,
      OUT_C: output.channels,
      GRID_H: grid.height,
      GRID_W: grid.width,
      KERNEL: kernel,
      STRIDE: stride,
      PADDING: padding(kernel),
      PARTS: filter.parts,
      BACKWARD: backward,
      RESIDUAL: residual !== undefined,
      ACTIVATE: activation !== undefined,
      BOTH: activation?.activated !== undefined,
      PIXELS,
      BLOCK,
      BLOCKS: PIXELS / BLOCK,
      TAPS: taps,
      WINDOW: backward ? PIXELS + taps - 1 : (PIXELS - 1) * stride + kernel,
      HELD: Math.ceil((taps * vectorWidth(input.channels) * columns) / LANES),
      COLUMNS: columns,
      WORKGROUP,
    },
    bindings: [x, ...filter.bindings, residual ?? w[0]!, y, ...activationBindings(activation)],
    uniforms: {
      ...filter.uniforms,
      ...(activation && outWidth === 4 ? { AFFINE: (2 * output.channels) / outWidth } : {}),
    },
    workgroups: [
      Math.ceil((batch * grid.height * Math.ceil(grid.width / PIXELS)) / WORKGROUP),
      output.channels / outWidth / columns,
      backward ? stride ** 2 : 1,
    ],
  };
}

function activationBindings<B>(activation: Activation<B> | undefined): B[] {
  if (!activation) return [];
  return activation.activated ? [activation.affine, activation.activated] : [activation.affine];
}

const inputPlane = ({ inHeight, inWidth, inChannels }: Conv2dShape): Plane => ({
  height: inHeight,
  width: inWidth,
  channels: inChannels,
});

const outputPlane = (shape: Conv2dShape): Plane => ({ ...conv2dOutput(shape), channels: shape.outChannels });

/**
 * Convolution, forward. `x` is [batch, inHeight, inWidth, inChannels], `w` the {@link filterParts} of [kernel, kernel,
 * inChannels, outChannels], `y` [batch, outHeight, outWidth, outChannels]; `residual`, of y's shape, is added on store, and
 * then `activation` applied.
 */
export function conv2dForward<B>(shape: Conv2dShape, buffers: Convolution<B>): Dispatch<B> {
  return convolution(shape, { input: inputPlane(shape), output: outputPlane(shape), backward: false }, buffers);
}

/**
 * Convolution, backward-data: the gradient of the input. `shape` is that of the forward convolution; `gradient` is
 * [batch, outHeight, outWidth, outChannels], `w` the {@link filterParts} of its filter with channels swapped, [kernel,
 * kernel, outChannels, inChannels] (see {@link transposeFilter}), `y` [batch, inHeight, inWidth, inChannels]; `residual`, of
 * y's shape, is added on store.
 */
export function conv2dBackwardData<B>(
  shape: Conv2dShape,
  { gradient, ...rest }: Omit<Convolution<B>, 'x' | 'activation'> & { gradient: B },
): Dispatch<B> {
  const planes = { input: outputPlane(shape), output: inputPlane(shape), backward: true };
  return convolution(shape, planes, { x: gradient, ...rest });
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
  const rows = shape.kernel * (shape.inChannels / inWidth);
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
      PADDING: padding(shape.kernel),
      SPLITS: splits,
      COLUMNS: columns,
      RUN,
      WINDOW: (RUN - 1) * shape.stride + shape.kernel,
      HELD: Math.ceil((RUN * columns) / LANES),
      WORKGROUP: workgroup,
    },
    bindings: [x, gradient, partials],
    workgroups: [Math.ceil(rows / workgroup), shape.outChannels / outWidth / columns, splits],
  };
}
