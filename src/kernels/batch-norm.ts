import { type Dispatch, grid, vectorWidth, WORKGROUP } from './dispatch.js';

/** Channels-last data seen as a matrix: `rows` = N·H·W. */
export interface BatchNormShape {
  readonly rows: number;
  readonly channels: number;
}

/** What is folded into batch norm's output: ReLU, then inverted dropout with probability `dropout` drawn from `stream`. */
export interface BatchNormFold {
  readonly relu: boolean;
  readonly dropout: number;
  readonly stream: number;
}

/** PyTorch's: added to the variance. */
export const BATCH_NORM_EPSILON = 1e-5;

const MAX_CHUNKS = 128;

/** How rows are cut into chunks that are reduced apart: at most 128, none empty. */
export function batchNormChunks({ rows }: BatchNormShape): { chunks: number; rowsPerChunk: number } {
  const rowsPerChunk = Math.ceil(rows / MAX_CHUNKS);
  return { chunks: Math.ceil(rows / rowsPerChunk), rowsPerChunk };
}

const foldConstants = (fold: BatchNormFold) => ({ RELU: fold.relu, DROPOUT: fold.dropout, STREAM: fold.stream });

const perChunkAndVector = (shape: BatchNormShape) =>
  Math.ceil((batchNormChunks(shape).chunks * shape.channels) / vectorWidth(shape.channels) / WORKGROUP);

/**
 * Batch statistics over rows: `x` is [rows, channels]; `mean`, `variance` (biased) and `unbiased` (variance) are [channels];
 * `partials`, scratch, is [chunks, 2, channels].
 */
export function batchNormStatistics<B>(
  shape: BatchNormShape,
  { x, partials, mean, variance, unbiased }: { x: B; partials: B; mean: B; variance: B; unbiased: B },
): Dispatch<B>[] {
  const { chunks, rowsPerChunk } = batchNormChunks(shape);
  const constants = {
    ROWS: shape.rows,
    CHANNELS: shape.channels,
    CHUNKS: chunks,
    ROWS_PER_CHUNK: rowsPerChunk,
    WORKGROUP,
  };
  return [
    {
      shader: 'batch_norm_partials',
      constants: { ...constants, WIDTH: vectorWidth(shape.channels) },
      bindings: [x, partials],
      workgroups: [perChunkAndVector(shape), 1, 1],
    },
    {
      shader: 'batch_norm_statistics',
      constants,
      bindings: [partials, mean, variance, unbiased],
      workgroups: [Math.ceil(shape.channels / WORKGROUP), 1, 1],
    },
  ];
}

/** The per-channel statistics and parameters, and the step that seeds dropout (needed only where there is dropout). */
interface BatchNormInputs<B> {
  x: B;
  mean: B;
  variance: B;
  gamma: B;
  beta: B;
  step?: B | undefined;
}

/** Normalise, scale, shift, and what is folded in: `x`, `y` [rows, channels]; the rest [channels]. */
export function batchNormApply<B>(
  shape: BatchNormShape,
  fold: BatchNormFold,
  { x, mean, variance, gamma, beta, step, y }: BatchNormInputs<B> & { y: B },
): Dispatch<B> {
  const width = vectorWidth(shape.channels);
  return {
    shader: 'batch_norm_apply',
    constants: {
      WIDTH: width,
      ROWS: shape.rows,
      CHANNELS: shape.channels,
      EPSILON: BATCH_NORM_EPSILON,
      ...foldConstants(fold),
      WORKGROUP,
    },
    bindings: [x, mean, variance, gamma, beta, step ?? mean, y],
    workgroups: grid((shape.rows * shape.channels) / width),
  };
}

/**
 * Gradients of batch norm's parameters, through the folded ReLU and dropout: `gradient` (of the output) is [rows, channels],
 * `gammaGradient` and `betaGradient` [channels], `coefficients` [5, channels] is for {@link batchNormBackward}; `partials`,
 * scratch, is [chunks, 2, channels]. `batchStatistics`: the statistics are those of x, so a gradient goes through them.
 */
export function batchNormBackwardSums<B>(
  shape: BatchNormShape,
  { batchStatistics, ...fold }: BatchNormFold & { batchStatistics: boolean },
  b: BatchNormInputs<B> & { gradient: B; partials: B; coefficients: B; gammaGradient: B; betaGradient: B },
): Dispatch<B>[] {
  const { chunks, rowsPerChunk } = batchNormChunks(shape);
  const constants = {
    ROWS: shape.rows,
    CHANNELS: shape.channels,
    EPSILON: BATCH_NORM_EPSILON,
    CHUNKS: chunks,
    WORKGROUP,
  };
  return [
    {
      shader: 'batch_norm_backward_partials',
      constants: {
        ...constants,
        ...foldConstants(fold),
        WIDTH: vectorWidth(shape.channels),
        ROWS_PER_CHUNK: rowsPerChunk,
      },
      bindings: [b.x, b.gradient, b.mean, b.variance, b.gamma, b.beta, b.step ?? b.mean, b.partials],
      workgroups: [perChunkAndVector(shape), 1, 1],
    },
    {
      shader: 'batch_norm_backward_sums',
      constants: { ...constants, BATCH_STATISTICS: batchStatistics },
      bindings: [b.partials, b.mean, b.variance, b.gamma, b.beta, b.gammaGradient, b.betaGradient, b.coefficients],
      workgroups: [Math.ceil(shape.channels / WORKGROUP), 1, 1],
    },
  ];
}

/**
 * The `coefficients` [5, channels] of {@link batchNormBackward} for running statistics, where no parameter's gradient is
 * wanted; the others are [channels].
 */
export function batchNormCoefficients<B>(
  channels: number,
  b: { mean: B; variance: B; gamma: B; beta: B; coefficients: B },
): Dispatch<B> {
  return {
    shader: 'batch_norm_coefficients',
    constants: { CHANNELS: channels, EPSILON: BATCH_NORM_EPSILON, WORKGROUP },
    bindings: [b.mean, b.variance, b.gamma, b.beta, b.coefficients],
    workgroups: [Math.ceil(channels / WORKGROUP), 1, 1],
  };
}

/**
 * Gradient of batch norm's input: `x`, `gradient` (of the output), `y` (of x) and `residual`, added on store, are
 * [rows, channels]; `coefficients` [5, channels] comes from {@link batchNormBackwardSums} or
 * {@link batchNormCoefficients}.
 */
export function batchNormBackward<B>(
  shape: BatchNormShape,
  fold: BatchNormFold,
  b: { x: B; gradient: B; coefficients: B; step?: B | undefined; residual?: B | undefined; y: B },
): Dispatch<B> {
  const width = vectorWidth(shape.channels);
  return {
    shader: 'batch_norm_backward',
    constants: {
      WIDTH: width,
      ROWS: shape.rows,
      CHANNELS: shape.channels,
      ...foldConstants(fold),
      RESIDUAL: b.residual !== undefined,
      WORKGROUP,
    },
    bindings: [b.x, b.gradient, b.coefficients, b.step ?? b.coefficients, b.residual ?? b.gradient, b.y],
    workgroups: grid((shape.rows * shape.channels) / width),
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
