/**
 * The refusals energate makes. Each message is one line: what was wrong, with what (file and field, op and shapes,
 * limit and value), and what to do.
 */
export class EnergateError extends Error {
  override name = 'EnergateError';
}

/** The caller asked for something that cannot be: an unknown option, a value out of range, options that exclude each other. */
export class UsageError extends EnergateError {
  override name = 'UsageError';
}

/** A file or an array is not what it should be: missing, truncated, of the wrong type or shape, out of range. */
export class DataError extends EnergateError {
  override name = 'DataError';
}

/** An op was given tensors whose shapes or types do not fit. */
export class ShapeError extends EnergateError {
  override name = 'ShapeError';
}

/** The device does not allow what was asked: no adapter, a missing feature, a limit exceeded, a lost device. */
export class DeviceError extends EnergateError {
  override name = 'DeviceError';
}

/** A device's limit is below what is needed. */
export class LimitError extends DeviceError {
  override name = 'LimitError';
  /** WebGPU's name for it, as in `GPUDevice.limits` and `requiredLimits`. */
  readonly limit: string;
  readonly have: number;
  readonly need: number;

  constructor(message: string, { limit, have, need }: { limit: string; have: number; need: number }) {
    super(message);
    this.limit = limit;
    this.have = have;
    this.need = need;
  }
}

/** A device lacks an optional feature. */
export class FeatureError extends DeviceError {
  override name = 'FeatureError';
  /** WebGPU's name for it, as in `requiredFeatures`. */
  readonly feature: string;

  constructor(message: string, feature: string) {
    super(message);
    this.feature = feature;
  }
}

/** Training produced a loss that is NaN or infinite. */
export class DivergenceError extends EnergateError {
  override name = 'DivergenceError';
}
