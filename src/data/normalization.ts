import { UsageError } from '../errors.js';
import type { Normalization } from '../kernels/gather-images.js';

/** The normalisations that have a name. */
export const NORMALIZATIONS = {
  /** Mean and standard deviation of CIFAR-10's training pixels, as the paper's code uses for every data set. */
  cifar: { mean: [125.3 / 255, 123.0 / 255, 113.9 / 255], std: [63.0 / 255, 62.1 / 255, 66.7 / 255] },
  /** Pixels in 0..1 as they are. */
  none: { mean: [0, 0, 0], std: [1, 1, 1] },
} as const satisfies Readonly<Record<string, Normalization>>;

/**
 * A normalisation by its name (`cifar`, `none`), or from its figures: mean and standard deviation of the red, green and blue
 * of pixels in 0..1, as `r,g,b/r,g,b`.
 * @throws {UsageError} if it is neither, or a figure is out of range.
 */
export function parseNormalization(text: string): Normalization {
  if (Object.hasOwn(NORMALIZATIONS, text)) return NORMALIZATIONS[text as keyof typeof NORMALIZATIONS];
  const [mean, std, ...rest] = text.split('/').map(parseTriple);
  if (!mean || !std || rest.length > 0) {
    throw new UsageError(
      `give cifar, none or "r,g,b/r,g,b" (mean and standard deviation of pixels in 0..1), not ${JSON.stringify(text)}`,
    );
  }
  if (mean.some((value) => value < 0 || value > 1)) {
    throw new UsageError(`the mean ${mean.join(',')} is outside 0..1: divide figures of 0..255 by 255`);
  }
  if (std.some((value) => value <= 0 || value > 1)) {
    throw new UsageError(
      `the standard deviation ${std.join(',')} is not above 0 and at most 1: divide figures of 0..255 by 255`,
    );
  }
  return { mean, std };
}

function parseTriple(text: string): [number, number, number] | undefined {
  const parts = text.split(',');
  const numbers = parts.map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  return numbers.length === 3 && numbers.every(Number.isFinite) ? (numbers as [number, number, number]) : undefined;
}
