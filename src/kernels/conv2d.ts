import { type BatchNormFold, foldConstants } from './batch-norm.js';
import {
  type DeviceTraits,
  type Dispatch,
  exchange,
  MAX_UNIFORM_BYTES,
  SOFTWARE_WORKGROUPS,
  type SubgroupMatrices,
  vectorWidth,
  WORKGROUP,
} from './dispatch.js';
import { LEAST_MATRIX_ROWS, MOST_INVOCATIONS, tile } from './tiles.js';

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

/** A filter as the kernel reads it: [kernel, kernel, inChannels, outChannels]. */
interface FilterShape {
  readonly kernel: number;
  readonly inChannels: number;
  readonly outChannels: number;
}

/** Channel counts on matrix units are multiples of this, which the sides of all matrices divide. */
const CHANNELS_OF_MATRICES = 16;

/**
 * How a convolution is computed: through workgroup memory only where both channel counts are multiples of 4. Else values are shared
 * within subgroups where there are `lanes`, or by lanes that read one address.
 */
export interface ConvolutionOptions extends DeviceTraits {
  /** Of those through workgroup memory, on matrix units: where all is stored as float16, and channel counts are multiples of 16. */
  readonly matrices?: SubgroupMatrices | undefined;
  /** What is stored as float16: the input; the output, and what has its shape. Of backward-weights `output` is the gradient. */
  readonly float16?: { readonly input: boolean; readonly output: boolean } | undefined;
}

const halves = ({ float16: { input, output } = { input: false, output: false } }: ConvolutionOptions) => ({
  HALFIN: input,
  HALF: output,
  HALVES: input || output,
});

/** Whether it is computed through workgroup memory. */
const isTiled = (
  { inChannels, outChannels }: Omit<FilterShape, 'kernel'>,
  { workgroupMemory, float16 }: ConvolutionOptions,
) => workgroupMemory === true && inChannels % 4 === 0 && outChannels % 4 === 0 && float16?.input === float16?.output;

/** What multiplies it, where that is matrix units. */
const matricesOf = (shape: Omit<FilterShape, 'kernel'>, options: ConvolutionOptions): SubgroupMatrices | undefined =>
  isTiled(shape, options) &&
  options.float16?.output &&
  [shape.inChannels, shape.outChannels].every((channels) => channels % CHANNELS_OF_MATRICES === 0)
    ? options.matrices
    : undefined;

/** Whether backward-weights goes through workgroup memory: but on matrix units, an invocation has one tap at least. */
const sharesWeights = (shape: FilterShape, options: ConvolutionOptions) =>
  isTiled(shape, options) && (matricesOf(shape, options) !== undefined || shape.kernel ** 2 <= MOST_INVOCATIONS);

const matrixConstants = ({ height, width, terms, lanes }: SubgroupMatrices) => ({
  HEIGHT: height,
  WIDTH: width,
  TERMS: terms,
  LANES: lanes,
});

/**
 * Into how many parts, rows of it, a filter is bound: as many as make each fit a uniform buffer, 1 or `kernel`. Where none
 * does, or invocations read it apart, through workgroup memory, or exchange it in 4 lanes, it is one storage buffer.
 */
export function filterParts(
  filter: FilterShape,
  options: ConvolutionOptions = {},
): { parts: number; uniform: boolean } {
  // SwiftShader reads no faster from uniform buffers, and choosing between three costs it more than reading.
  if (isTiled(filter, options) || options.lanes === 4) return { parts: 1, uniform: false };
  const { kernel, inChannels, outChannels } = filter;
  const rowElements = kernel * inChannels * outChannels;
  const fits = (rows: number) => outChannels % 4 === 0 && rows * rowElements * 4 <= MAX_UNIFORM_BYTES;
  if (fits(kernel)) return { parts: 1, uniform: true };
  // A binding starts at a multiple of 64 elements, and the shader has names for three.
  if (kernel === 3 && rowElements % 64 === 0 && fits(1)) return { parts: kernel, uniform: true };
  return { parts: 1, uniform: false };
}

/** Parts and uniforms of a convolution's filter; `w` holds those parts. */
function filterUniforms<B>(filter: FilterShape, w: readonly B[], options: ConvolutionOptions) {
  const { parts, uniform } = filterParts(filter, options);
  if (w.length !== parts) throw new Error(`conv2d: a filter in ${parts} parts is bound in ${w.length}`);
  const length = (filter.kernel ** 2 * filter.inChannels * filter.outChannels) / parts / 4;
  return {
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
  readonly reduction?: Reduction<B> | undefined;
}

/**
 * What batch norm needs of the values stored, made as they are: statistics forward, sums of the gradient backward. `partials`
 * is [conv2dChunks(shape).., 3 or 2, channels].
 */
interface Reduction<B> {
  readonly partials: B;
  readonly batchNorm?: GradientReduction<B> | undefined;
}

/** The batch norm whose output's gradient is stored: its input, [4, channels] of it, what is folded in, and its step. */
export interface GradientReduction<B> {
  readonly x: B;
  readonly figures: B;
  readonly step?: B | undefined;
  readonly fold: BatchNormFold;
}

/**
 * Batch norm with fixed statistics, and ReLU, of what is stored: `affine` is [2, outChannels], factors and then summands. The
 * result goes to `activated`, of y's shape, where that is given, and else takes the place of y.
 */
export interface Activation<B> {
  readonly affine: B;
  readonly activated?: B | undefined;
}

/** What a convolution goes over, and how. */
interface Direction {
  readonly input: Plane;
  readonly output: Plane;
  readonly backward: boolean;
}

/** Both directions: from `input` to `output`; backward takes its pixels in stride² classes, each on the grid of the smaller. */
function convolution<B>(
  shape: Conv2dShape,
  direction: Direction,
  { x, w, y, residual, activation, reduction }: Convolution<B>,
  options: ConvolutionOptions,
): Dispatch<B> {
  const { batch, kernel, stride } = shape;
  const { input, output, backward } = direction;
  const grid = backward ? input : output;
  const { batchNorm } = reduction ?? {};
  const constants = {
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
    BACKWARD: backward,
    RESIDUAL: residual !== undefined,
    ACTIVATE: activation !== undefined,
    BOTH: activation?.activated !== undefined,
    REDUCE: reduction !== undefined,
    STATISTICS: reduction !== undefined && !backward,
    GRADIENTS: reduction !== undefined && backward,
    ...(batchNorm ? foldConstants(batchNorm.fold) : {}),
    WORKGROUP,
  };
  const stored = [
    ...(residual === undefined ? [] : [residual]),
    y,
    ...activationBindings(activation),
    ...reductionBindings(reduction),
  ];
  const uniforms: Record<string, number> = batchNorm ? { FIGURES: output.channels } : {};
  const matrices = matricesOf(shape, options);
  if (matrices) {
    return tile({
      shader: 'conv2d_matrix',
      constants: { ...constants, ...matrixConstants(matrices) },
      bindings: [x, ...w, ...stored],
      uniforms,
    });
  }
  if (isTiled(shape, options)) {
    return tile({
      shader: 'conv2d_tiled',
      constants: { ...constants, HALF: options.float16?.output ?? false },
      bindings: [x, ...w, ...stored],
      uniforms,
    });
  }
  const outWidth = vectorWidth(output.channels);
  // A channel at a time in subgroups of 4, where a filter row of four does not leave a core's cache room for many pixels.
  const inWidth = options.lanes === 4 && !options.float16?.input ? 1 : vectorWidth(input.channels);
  const [from, to] = backward ? [output, input] : [input, output];
  const filter = filterUniforms({ kernel, inChannels: from.channels, outChannels: to.channels }, w, options);
  return tile({
    shader: 'conv2d',
    constants: {
      ...constants,
      ...halves(options),
      IN_WIDTH: inWidth,
      OUT_WIDTH: outWidth,
      FILTER_WIDTH: backward ? inWidth : outWidth,
      PARTS: filter.parts,
      PARTED: filter.parts > 1,
      CUT: backward && stride > 1 && options.lanes !== 4,
      ZEROS: backward && stride > 1 && options.lanes === 4,
      NARROW: inWidth === 1,
      ...exchange(options),
      LOOPS: options.llvm === true,
      QUADS: options.lanes === 4,
      TAPS: backward ? Math.ceil(kernel / stride) : kernel,
      TAP: backward ? outWidth : inWidth,
    },
    bindings: [x, ...w, ...stored],
    uniforms: {
      ...filter.uniforms,
      ...uniforms,
      ...(activation && outWidth === 4 ? { AFFINE: (2 * output.channels) / outWidth } : {}),
    },
  });
}

function activationBindings<B>(activation: Activation<B> | undefined): B[] {
  if (!activation) return [];
  return activation.activated ? [activation.affine, activation.activated] : [activation.affine];
}

function reductionBindings<B>(reduction: Reduction<B> | undefined): B[] {
  if (!reduction) return [];
  const { partials, batchNorm } = reduction;
  if (!batchNorm) return [partials];
  const { x, figures, fold, step } = batchNorm;
  return [partials, x, figures, ...(fold.dropout > 0 ? [step!] : [])];
}

const inputPlane = ({ inHeight, inWidth, inChannels }: Conv2dShape): Plane => ({
  height: inHeight,
  width: inWidth,
  channels: inChannels,
});

const outputPlane = (shape: Conv2dShape): Plane => ({ ...conv2dOutput(shape), channels: shape.outChannels });

const forwardOf = (shape: Conv2dShape): Direction => ({
  input: inputPlane(shape),
  output: outputPlane(shape),
  backward: false,
});

const backwardOf = (shape: Conv2dShape): Direction => ({
  input: outputPlane(shape),
  output: inputPlane(shape),
  backward: true,
});

/** Into how many chunks a convolution's values fall where it reduces them: its workgroups (in 4 `lanes` its subgroups), of each column. */
export function conv2dChunks(
  shape: Conv2dShape,
  options: ConvolutionOptions = {},
): { forward: number; backward: number } {
  const chunks = (direction: Direction) => {
    const w = Array(filterParts(shape, options).parts).fill('w');
    const buffers = { x: 'x', w, y: 'y', reduction: { partials: 'partials' } };
    const { constants, workgroups } = convolution(shape, direction, buffers, options);
    const [x, , z] = workgroups;
    return Number(constants.CHUNKS ?? x) * z;
  };
  return { forward: chunks(forwardOf(shape)), backward: chunks(backwardOf(shape)) };
}

/** The most of those chunks that there are on any device. */
export function conv2dMostChunks(shape: Conv2dShape): { forward: number; backward: number } {
  const ways = [{ workgroupMemory: true }, {}, { lanes: 4 }].map((options) => conv2dChunks(shape, options));
  const onMatrices = ({ height, width }: { height: number; width: number }) =>
    Math.ceil((shape.batch * height * width) / LEAST_MATRIX_ROWS);
  const grid = conv2dOutput(shape);
  return {
    forward: Math.max(...ways.map(({ forward }) => forward), onMatrices(grid)),
    backward: Math.max(...ways.map(({ backward }) => backward), onMatrices(grid) * shape.stride ** 2),
  };
}

/** Whether backward-data can reduce as it stores: `figures` has to be a uniform buffer, as there are but 8 others. */
export const conv2dReducesGradients = ({ inChannels }: Conv2dShape): boolean => inChannels % 4 === 0;

/**
 * Convolution, forward. `x` is [batch, inHeight, inWidth, inChannels], `w` the {@link filterParts} of [kernel, kernel,
 * inChannels, outChannels], `y` [batch, outHeight, outWidth, outChannels]; `residual`, of y's shape, is added on store, and
 * then `activation` applied, or `partials` [conv2dChunks(shape).forward, 3, outChannels] taken of it (see {@link batchNormPartials}).
 */
export function conv2dForward<B>(
  shape: Conv2dShape,
  { partials, ...buffers }: Omit<Convolution<B>, 'reduction'> & { partials?: B | undefined },
  options: ConvolutionOptions = {},
): Dispatch<B> {
  const reduction = partials === undefined ? undefined : { partials };
  return convolution(shape, forwardOf(shape), { ...buffers, reduction }, options);
}

/**
 * Convolution, backward-data: the gradient of the input. `shape` is that of the forward convolution; `gradient` is
 * [batch, outHeight, outWidth, outChannels], `w` the {@link filterParts} of its filter [kernel, kernel, inChannels,
 * outChannels], `y` [batch, inHeight, inWidth, inChannels]; `residual`, of y's shape, is added on store. `reduction`, where
 * {@link conv2dReducesGradients}: the sums that {@link batchNormBackwardPartials} would make of y, into `partials`
 * [conv2dChunks(shape).backward, 2, inChannels].
 */
export function conv2dBackwardData<B>(
  shape: Conv2dShape,
  {
    gradient,
    ...rest
  }: Omit<Convolution<B>, 'x' | 'activation' | 'reduction'> & {
    gradient: B;
    reduction?: { partials: B; batchNorm: GradientReduction<B> } | undefined;
  },
  options: ConvolutionOptions = {},
): Dispatch<B> {
  return convolution(shape, backwardOf(shape), { x: gradient, ...rest }, options);
}

/**
 * Of backward-weights through workgroup memory: as many invocations as a large GPU runs at once (an H100's 132 cores 384 each, for
 * their registers), on matrix units workgroups; and for each part of the sum pixels enough to be worth storing a filter.
 */
const WANTED_INVOCATIONS = 49152;
const WANTED_WORKGROUPS = 1024;
const LEAST_PIXELS = 256;

/** On matrix units, pixels that no cut divides. */
const MATRIX_PIXELS = 32;

/** Parts of the sum where it is not computed so, on a software adapter and on a GPU. */
const MOST_SPLITS = 64;
const MOST_SPLITS_OF_GPU = 512;

/**
 * Into how many parts backward-weights cuts its sum: as many workgroups as fill a device, since each more is a filter more to store
 * and to add up; no more than there are rows (through workgroup memory, blocks of pixels), and none empty.
 */
export function conv2dSplits(shape: Conv2dShape, options: ConvolutionOptions = {}): number {
  const { height, width } = conv2dOutput(shape);
  const rows = shape.batch * height;
  const cut = (parts: number, most: number) => Math.ceil(parts / Math.ceil(parts / Math.min(parts, most)));
  const buffers = { x: 'x', gradient: 'gradient', partials: 'partials' };
  if (!sharesWeights(shape, options)) {
    if (options.workgroupMemory) return cut(rows, MOST_SPLITS_OF_GPU);
    const { UNIT, OUT_C, OUT_WIDTH, COLUMNS } = registerBackwardWeights(shape, 1, buffers, options).constants;
    const lanes = (Number(UNIT) * Number(OUT_C)) / Number(OUT_WIDTH) / Number(COLUMNS);
    return cut(rows, Math.min(MOST_SPLITS, Math.ceil((SOFTWARE_WORKGROUPS * WORKGROUP) / lanes)));
  }
  const { constants, workgroups } = sharedBackwardWeights(shape, 1, buffers, options);
  const [x, y] = workgroups;
  const pixels = rows * width;
  const wanted = (splits: number) => Math.min(Math.ceil(splits / (x * y)), Math.ceil(pixels / LEAST_PIXELS));
  if (matricesOf(shape, options)) return cut(Math.ceil(pixels / MATRIX_PIXELS), wanted(WANTED_WORKGROUPS));
  const { SIZE, PIXEL_ROWS, PIXEL_COLS } = constants;
  const blocks = Math.ceil(height / Number(PIXEL_ROWS)) * Math.ceil(width / Number(PIXEL_COLS));
  return cut(shape.batch * blocks, wanted(WANTED_INVOCATIONS / Number(SIZE)));
}

/** Constants of all ways to compute backward-weights. */
function backwardWeightsConstants(shape: Conv2dShape) {
  const { height, width } = conv2dOutput(shape);
  return {
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
    WORKGROUP,
  };
}

interface BackwardWeights<B> {
  readonly x: B;
  readonly gradient: B;
  readonly partials: B;
}

/** Through workgroup memory, on matrix units where there are some. */
function sharedBackwardWeights<B>(
  shape: Conv2dShape,
  splits: number,
  { x, gradient, partials }: BackwardWeights<B>,
  options: ConvolutionOptions,
): Dispatch<B> {
  const constants = { ...backwardWeightsConstants(shape), SPLITS: splits };
  const matrices = matricesOf(shape, options);
  const [shader, how] = matrices
    ? (['conv2d_backward_weights_matrix', matrixConstants(matrices)] as const)
    : (['conv2d_backward_weights_tiled', { HALF: options.float16?.output ?? false }] as const);
  return tile({ shader, constants: { ...constants, ...how }, bindings: [x, gradient, partials] });
}

/** From register tiles. */
function registerBackwardWeights<B>(
  shape: Conv2dShape,
  splits: number,
  { x, gradient, partials }: BackwardWeights<B>,
  options: ConvolutionOptions,
): Dispatch<B> {
  const inWidth = vectorWidth(shape.inChannels);
  const rows = shape.kernel * (shape.inChannels / inWidth);
  const exchanging = exchange(options);
  return tile({
    shader: 'conv2d_backward_weights',
    constants: {
      ...backwardWeightsConstants(shape),
      ...halves(options),
      IN_WIDTH: inWidth,
      OUT_WIDTH: vectorWidth(shape.outChannels),
      SPLITS: splits,
      ...exchanging,
      UNIT: Math.ceil(rows / exchanging.LANES) * exchanging.LANES,
      LOOPS: options.llvm === true,
    },
    bindings: [x, gradient, partials],
  });
}

/**
 * Convolution, backward-weights, as partial sums: `x` is the forward input, `gradient` that of the output, `partials`
 * [conv2dSplits(shape, options), kernel, kernel, inChannels, outChannels], to be added up over its first axis.
 */
export function conv2dBackwardWeights<B>(
  shape: Conv2dShape,
  buffers: BackwardWeights<B>,
  options: ConvolutionOptions = {},
): Dispatch<B> {
  const splits = conv2dSplits(shape, options);
  if (sharesWeights(shape, options)) return sharedBackwardWeights(shape, splits, buffers, options);
  return registerBackwardWeights(shape, splits, buffers, options);
}
