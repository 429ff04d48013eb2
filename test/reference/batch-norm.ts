/**
 * Batch normalisation over every axis but the last (the channels), in float64: y = γ·(x - mean)/sqrt(var + ε) + β.
 * x is any number of rows (N·H·W) of `gamma.length` channels.
 */

export const EPSILON = 1e-5;
export const MOMENTUM = 0.1;

export interface Statistics {
  mean: Float64Array;
  /** Biased (divided by the number of rows) where it comes from a batch. */
  variance: Float64Array;
}

export interface Affine {
  gamma: Float64Array;
  beta: Float64Array;
}

export function batchNormStatistics(x: Float64Array, channels: number): Statistics {
  const rows = x.length / channels;
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  for (let i = 0; i < x.length; i++) mean[i % channels] += x[i]! / rows;
  for (let i = 0; i < x.length; i++) variance[i % channels] += (x[i]! - mean[i % channels]!) ** 2 / rows;
  return { mean, variance };
}

/** With a batch's statistics this is training mode, with the running ones evaluation mode. `relu`: max(y, 0). */
export function batchNormApply(
  x: Float64Array,
  { mean, variance }: Statistics,
  { gamma, beta }: Affine,
  { relu = false } = {},
): Float64Array {
  const channels = gamma.length;
  return x.map((value, i) => {
    const c = i % channels;
    const y = (gamma[c]! * (value - mean[c]!)) / Math.sqrt(variance[c]! + EPSILON) + beta[c]!;
    return relu ? Math.max(y, 0) : y;
  });
}

/**
 * Training mode: the statistics depend on x. With `relu`, dy is the gradient of the activated output, and is masked where
 * the pre-activation, computed again from x, is not positive.
 */
export function batchNormBackward(
  x: Float64Array,
  dy: Float64Array,
  { gamma, beta }: Affine,
  { relu = false } = {},
): { dx: Float64Array; dgamma: Float64Array; dbeta: Float64Array } {
  const channels = gamma.length;
  const rows = x.length / channels;
  const { mean, variance } = batchNormStatistics(x, channels);
  const dgamma = new Float64Array(channels);
  const dbeta = new Float64Array(channels);
  const normalised = x.map((value, i) => (value - mean[i % channels]!) / Math.sqrt(variance[i % channels]! + EPSILON));
  const masked = dy.map((d, i) => (relu && gamma[i % channels]! * normalised[i]! + beta[i % channels]! <= 0 ? 0 : d));
  for (let i = 0; i < x.length; i++) {
    dgamma[i % channels] += masked[i]! * normalised[i]!;
    dbeta[i % channels] += masked[i]!;
  }
  const dx = x.map((_, i) => {
    const c = i % channels;
    const centred = masked[i]! - dbeta[c]! / rows - (normalised[i]! * dgamma[c]!) / rows;
    return (gamma[c]! * centred) / Math.sqrt(variance[c]! + EPSILON);
  });
  return { dx, dgamma, dbeta };
}

/** Running statistics after a batch of `rows` rows: (1 - 0.1)·running + 0.1·batch, with the unbiased batch variance. */
export function updateRunning(running: Statistics, batch: Statistics, rows: number): Statistics {
  const unbiased = rows / (rows - 1);
  return {
    mean: running.mean.map((old, c) => (1 - MOMENTUM) * old + MOMENTUM * batch.mean[c]!),
    variance: running.variance.map((old, c) => (1 - MOMENTUM) * old + MOMENTUM * unbiased * batch.variance[c]!),
  };
}
