import {
  type DeviceTraits,
  type Dispatch,
  grid,
  MAX_WORKGROUPS,
  SOFTWARE_WORKGROUPS,
  sharing,
  vectorWidth,
  WORKGROUP,
} from './dispatch.js';

/** Channels-last data seen as a matrix: `rows` = N·H·W. */
export interface BatchNormShape {
  readonly rows: number;
  readonly channels: number;
}

/** What is folded into batch norm's output: ReLU, then inverted dropout with probability `dropout`. */
export interface BatchNormFold {
  readonly relu: boolean;
  readonly dropout: number;
}

/** How a kernel is to do that: where `float16`, what has x's shape is stored so (x, the output, and their gradients). */
export type BatchNormKernel = BatchNormFold & { readonly float16?: boolean | undefined };

/** PyTorch's: added to the variance. */
export const BATCH_NORM_EPSILON = 1e-5;

/** Chunks of rows on a software adapter and, as many as keep it busy, on a GPU. */
const MAX_CHUNKS = 128;
const MAX_CHUNKS_OF_GPU = 1024;
const LEAST_ROWS_OF_GPU = 32;

/** Into how many chunks rows are cut that are reduced apart: none empty, and at most 128, or 1024 on a GPU (`workgroupMemory`). */
export function batchNormChunks(
  { rows }: { readonly rows: number },
  { workgroupMemory = false }: DeviceTraits = {},
): number {
  const most = workgroupMemory ? Math.min(MAX_CHUNKS_OF_GPU, Math.ceil(rows / LEAST_ROWS_OF_GPU)) : MAX_CHUNKS;
  return Math.ceil(rows / Math.ceil(rows / most));
}

/** The most of those chunks that there are on any device. */
export const batchNormMostChunks = (shape: { readonly rows: number }): number =>
  Math.max(batchNormChunks(shape), batchNormChunks(shape, { workgroupMemory: true }));

/** Of the shaders that fold ReLU and dropout in. */
export const foldConstants = ({ relu, dropout }: BatchNormFold) => ({
  RELU: relu,
  DROPS: dropout > 0,
  DROPOUT: dropout,
});

const kernelConstants = ({ float16 = false, ...fold }: BatchNormKernel) => ({ ...foldConstants(fold), HALF: float16 });

/** How rows are cut that are reduced apart. `chunks`: of {@link batchNormChunks} unless given. */
type Chunking = DeviceTraits & { readonly chunks?: number | undefined };

/** Constants and workgroups of the kernels with an invocation, or on a GPU several, for each chunk and vector of channels. */
function overChunks({ rows, channels }: BatchNormShape, { workgroupMemory = false, ...given }: Chunking) {
  const width = vectorWidth(channels);
  const chunks = given.chunks ?? batchNormChunks({ rows }, { workgroupMemory });
  const shared = sharing(workgroupMemory);
  return {
    constants: {
      WIDTH: width,
      ROWS: rows,
      CHANNELS: channels,
      CHUNKS: chunks,
      ROWS_PER_CHUNK: Math.ceil(rows / chunks),
      ...shared,
      FOUND: 2 * WORKGROUP,
      WORKGROUP,
    },
    workgroups: grid(((chunks * channels) / width) * shared.LANES),
  };
}

/**
 * Statistics over chunks of rows: `x` is [rows, channels], `partials` [chunks, 3, channels]: mean, sum of squared deviations,
 * count, which is 0 for a chunk that no row is left for.
 */
export function batchNormPartials<B>(
  shape: BatchNormShape,
  { x, partials }: { x: B; partials: B },
  { float16 = false, ...chunking }: Chunking & { float16?: boolean | undefined } = {},
): Dispatch<B> {
  const { constants, workgroups } = overChunks(shape, chunking);
  return {
    shader: 'batch_norm_partials',
    constants: { ...constants, HALF: float16 },
    bindings: [x, partials],
    workgroups,
  };
}

/** The fewest rows that a lane takes, so that what a workgroup begins with is little beside them; a GPU has more lanes to keep busy. */
const ROWS_PER_LANE = 32;
const ROWS_PER_LANE_OF_GPU = 8;

/** How lanes fall on rows and channels: a lane keeps its channels. At most `most` workgroups along rows. */
function lanes({ rows, channels }: BatchNormShape, { most = MAX_WORKGROUPS, least = ROWS_PER_LANE } = {}) {
  const vectors = channels / vectorWidth(channels);
  const across = Math.min(vectors, WORKGROUP);
  const down = Math.floor(WORKGROUP / across);
  const rowsPerGroup = down * Math.max(least, Math.ceil(rows / down / most));
  return {
    constants: {
      WIDTH: vectorWidth(channels),
      ROWS: rows,
      CHANNELS: channels,
      LANES_C: across,
      LANES_R: down,
      ROWS_PER_GROUP: rowsPerGroup,
      WORKGROUP,
    },
    workgroups: [Math.ceil(rows / rowsPerGroup), Math.ceil(vectors / across), 1] as const,
  };
}

/** `step` (u32 [4]: number, seed, .., stream) is needed only where there is dropout. */
interface Normalised<B> {
  x: B;
  figures: B;
  step?: B | undefined;
  y: B;
}

/** Of kernels that merge `chunks` in every workgroup. */
interface Merging {
  readonly chunks: number;
  /** For GPUs. Without it there are few workgroups, since all merge, and rows are read one by one, since that compiles sooner: for software adapters. */
  readonly workgroupMemory?: boolean | undefined;
}

/** On a CPU no workgroup merges chunks for longer than it normalises, so far as that leaves work for several cores. */
const LEAST_WORKGROUPS = 8;

function mergingLanes(shape: BatchNormShape, { chunks, workgroupMemory = false }: Merging) {
  const worth = Math.max(LEAST_WORKGROUPS, Math.floor(shape.rows / (2 * chunks)));
  const most = workgroupMemory ? MAX_WORKGROUPS : Math.min(worth, SOFTWARE_WORKGROUPS);
  const { constants, workgroups } = lanes(shape, { most });
  return { constants: { ...constants, CHUNKS: chunks, ...(workgroupMemory ? {} : { TOGETHER: 1 }) }, workgroups };
}

/** Of kernels that are given what is merged. */
const unmergedLanes = (shape: BatchNormShape, workgroupMemory = false) =>
  lanes(shape, { least: workgroupMemory ? ROWS_PER_LANE_OF_GPU : ROWS_PER_LANE });

const residualOf = <B>(residual: B | undefined): B[] => (residual === undefined ? [] : [residual]);

const stepOf = <B>({ dropout }: BatchNormFold, step: B | undefined): B[] => (dropout > 0 ? [step!] : []);

/**
 * Normalise with the batch's statistics, scale, shift, and what is folded in: `x`, `y` are [rows, channels]. `partials`
 * [chunks, 3, channels] are merged for it, and `mean`, `unbiased` (variance) and `figures` [4, channels] (mean, gamma /
 * deviation, beta, 1 / deviation) made; `gamma`, `beta` and these two are [channels]. `workgroupMemory`: for GPUs.
 */
export function batchNormApply<B>(
  shape: BatchNormShape,
  { chunks, workgroupMemory, ...fold }: BatchNormKernel & Merging,
  b: Normalised<B> & { partials: B; gamma: B; beta: B; mean: B; unbiased: B },
): Dispatch<B> {
  const { constants, workgroups } = mergingLanes(shape, { chunks, workgroupMemory });
  return {
    shader: 'batch_norm_apply',
    constants: { ...constants, ...kernelConstants(fold), EPSILON: BATCH_NORM_EPSILON, BATCH: true },
    bindings: [b.x, b.y, b.figures, b.partials, b.gamma, b.beta, b.mean, b.unbiased, ...stepOf(fold, b.step)],
    workgroups,
  };
}

/** Invocations that merge the chunks of a vector of channels. */
const MERGING = 256;

const merging = ({ rows, channels }: BatchNormShape, chunks: number, backward: boolean) => ({
  constants: {
    WIDTH: vectorWidth(channels),
    ROWS: rows,
    CHANNELS: channels,
    EPSILON: BATCH_NORM_EPSILON,
    CHUNKS: chunks,
    BACKWARD: backward,
    MERGED: MERGING * 3,
    WORKGROUP: MERGING,
  },
  workgroups: [channels / vectorWidth(channels), 1, 1] as const,
});

/**
 * `mean`, `unbiased` and `figures` of what {@link batchNormApply} would merge itself: for many chunks, before
 * {@link batchNormApplyFixed}.
 */
export function batchNormMerge<B>(
  shape: BatchNormShape,
  chunks: number,
  b: { partials: B; gamma: B; beta: B; mean: B; unbiased: B; figures: B },
): Dispatch<B> {
  return {
    shader: 'batch_norm_merge',
    bindings: [b.partials, b.gamma, b.beta, b.mean, b.unbiased, b.figures],
    ...merging(shape, chunks, false),
  };
}

/**
 * Gradients of gamma and beta, which {@link batchNormBackward} would make of `partials` itself: for many chunks, before
 * {@link batchNormBackwardInput}, which takes them as `sums` [2, channels], gamma's first.
 */
export function batchNormMergeGradients<B>(
  shape: BatchNormShape,
  chunks: number,
  b: { partials: B; gammaGradient: B; betaGradient: B; sums: B },
): Dispatch<B> {
  return {
    shader: 'batch_norm_merge',
    bindings: [b.partials, b.gammaGradient, b.betaGradient, b.sums],
    ...merging(shape, chunks, true),
  };
}

/** {@link batchNormApply} with `figures` that are given (see {@link batchNormFigures}). */
export function batchNormApplyFixed<B>(
  shape: BatchNormShape,
  { workgroupMemory, ...fold }: BatchNormKernel & DeviceTraits,
  { x, y, figures, step }: Normalised<B>,
): Dispatch<B> {
  const { constants, workgroups } = unmergedLanes(shape, workgroupMemory);
  return {
    shader: 'batch_norm_apply',
    constants: { ...constants, ...kernelConstants(fold), BATCH: false },
    bindings: [x, y, figures, ...stepOf(fold, step)],
    workgroups,
  };
}

/** `figures` [4, channels] of given statistics and parameters, [channels] each. */
export function batchNormFigures<B>(
  channels: number,
  { mean, variance, gamma, beta, figures }: { mean: B; variance: B; gamma: B; beta: B; figures: B },
): Dispatch<B> {
  return {
    shader: 'batch_norm_figures',
    constants: { CHANNELS: channels, EPSILON: BATCH_NORM_EPSILON, WORKGROUP },
    bindings: [mean, variance, gamma, beta, figures],
    workgroups: [Math.ceil(channels / WORKGROUP), 1, 1],
  };
}

/**
 * What {@link batchNormBackward} adds up: `x`, `gradient` (of the output) are [rows, channels], `figures` [4, channels],
 * `partials` [chunks, 2, channels]. With `pooled`, `gradient` is that of the output's mean over
 * `positions`, [rows / positions, channels], and that of the output is stored in `y`.
 */
export function batchNormBackwardPartials<B>(
  shape: BatchNormShape,
  fold: BatchNormKernel,
  b: { x: B; gradient: B; figures: B; step?: B | undefined; partials: B },
  { pooled, ...chunking }: Chunking & { pooled?: { positions: number; y: B } } = {},
): Dispatch<B> {
  const { constants, workgroups } = overChunks(shape, chunking);
  return {
    shader: 'batch_norm_backward_partials',
    constants: {
      ...constants,
      ...kernelConstants(fold),
      POOLED: pooled !== undefined,
      POSITIONS: pooled?.positions ?? 1,
    },
    bindings: [b.x, b.gradient, b.figures, b.partials, ...(pooled ? [pooled.y] : []), ...stepOf(fold, b.step)],
    workgroups,
  };
}

/**
 * Gradients of batch norm's input and parameters: `x`, `gradient` (of the output), `y` (of x) and `residual`, added on store,
 * are [rows, channels]; `partials` [chunks, 2, channels]; `gammaGradient`, `betaGradient` [channels]. `batchStatistics`: the
 * statistics are those of x, so a gradient goes through them. `workgroupMemory`: for GPUs.
 */
export function batchNormBackward<B>(
  shape: BatchNormShape,
  { batchStatistics, chunks, workgroupMemory, ...fold }: BatchNormKernel & Merging & { batchStatistics: boolean },
  b: Normalised<B> & { gradient: B; partials: B; residual?: B | undefined; gammaGradient: B; betaGradient: B },
): Dispatch<B> {
  const { constants, workgroups } = mergingLanes(shape, { chunks, workgroupMemory });
  return {
    shader: 'batch_norm_backward',
    constants: {
      ...constants,
      ...kernelConstants(fold),
      RESIDUAL: b.residual !== undefined,
      BATCH: batchStatistics,
    },
    bindings: [
      ...[b.x, b.gradient, b.figures, b.partials],
      ...residualOf(b.residual),
      ...[b.y, b.gammaGradient, b.betaGradient],
      ...stepOf(fold, b.step),
    ],
    workgroups,
  };
}

/**
 * {@link batchNormBackward} of the input alone: nothing has to be summed, as the statistics are given; or, where they are those of
 * x, as {@link batchNormMergeGradients} has made `sums`.
 */
export function batchNormBackwardInput<B>(
  shape: BatchNormShape,
  { workgroupMemory, ...fold }: BatchNormKernel & DeviceTraits,
  b: Normalised<B> & {
    gradient: B;
    residual?: B | undefined;
    sums?: B | undefined;
  },
): Dispatch<B> {
  const { constants, workgroups } = unmergedLanes(shape, workgroupMemory);
  return {
    shader: 'batch_norm_backward',
    constants: {
      ...constants,
      ...kernelConstants(fold),
      RESIDUAL: b.residual !== undefined,
      BATCH: b.sums !== undefined,
      SUMS: false,
      GIVEN: b.sums !== undefined,
    },
    bindings: [
      ...[b.x, b.gradient, b.figures],
      ...residualOf(b.residual),
      b.y,
      ...(b.sums === undefined ? [] : [b.sums]),
      ...stepOf(fold, b.step),
    ],
    workgroups,
  };
}

/** Exponential averages of every batch norm's statistics at once, `size` elements: running += momentum (batch - running). */
export function runningStatistics<B>(
  { size, momentum }: { size: number; momentum: number },
  { batch, step, halted, running }: { batch: B; step: B; halted: B; running: B },
): Dispatch<B> {
  return {
    shader: 'running_statistics',
    constants: { SIZE: size, MOMENTUM: momentum, WORKGROUP },
    bindings: [batch, step, halted, running],
    workgroups: grid(size),
  };
}
