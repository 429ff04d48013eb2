import { NORMALIZATIONS } from '../../src/data/normalization.js';
import type { Network } from '../../src/nn/network.js';
import { wideResNet } from '../../src/nn/wide-resnet.js';
import { pixels } from '../inputs.js';
import type { NetworkWorkload } from '../workloads.js';

/** The network that every engine begins with, and its images. */
export const network = ({ depth, width, classes }: NetworkWorkload): Network =>
  wideResNet({ depth, width, classes }, { seed: 1, normalization: NORMALIZATIONS.cifar });

export const IN_SEED = 1;
export const OUT_SEED = 2;

/** Normalised images, NHWC, for engines that are given them so: in-distribution images, then outliers. */
export function normalisedImages(inCount: number, outCount: number): Float32Array<ArrayBuffer> {
  const { mean, std } = NORMALIZATIONS.cifar;
  const bytes = [...(inCount ? [pixels(inCount, IN_SEED)] : []), ...(outCount ? [pixels(outCount, OUT_SEED)] : [])];
  const images = new Float32Array((inCount + outCount) * 32 * 32 * 3);
  let at = 0;
  for (const part of bytes) for (const value of part) images[at] = (value / 255 - mean[at % 3]) / std[at++ % 3];
  return images;
}

/** Concatenate tensors in PyTorch's order and layouts into one result. */
export function concatenate(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
