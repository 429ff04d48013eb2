import { DataError } from '../errors.js';

/** A picture of any size, as `ImageData` is: bytes RGBA, rows one after the other. */
export interface Picture {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

const BITS = 22;

/** Which pixels make a pixel, and with what weights in units of 2^-22. */
interface Taps {
  readonly first: number;
  readonly weights: Int32Array;
}

/**
 * A picture as a network takes it: its short side scaled to `size` (bilinear with antialiasing, in whole numbers, as
 * Pillow and torchvision do it on every machine), the middle of the long side, without its alpha.
 * @returns size x size x 3 bytes, RGB
 * @throws DataError where width, height and the number of bytes do not fit
 */
export function fitPicture({ data, width, height }: Picture, size: number): Uint8Array {
  if (!(width > 0 && height > 0) || data.length !== width * height * 4) {
    throw new DataError(
      `a picture of ${width} x ${height} has ${width * height * 4} bytes of RGBA, but ${data.length} were given`,
    );
  }
  // torchvision: the long side is cut down to a whole number, the crop's offset rounded half to even.
  const short = Math.min(width, height);
  const newWidth = width === short ? size : Math.floor((size * width) / short);
  const newHeight = height === short ? size : Math.floor((size * height) / short);
  const left = roundHalfEven((newWidth - size) / 2);
  const top = roundHalfEven((newHeight - size) / 2);
  const columns = taps(width, newWidth, left, size);
  const rows = taps(height, newHeight, top, size);

  const middle = new Uint8Array(size * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < size; x++) {
      const { first, weights } = columns[x]!;
      for (let c = 0; c < 3; c++) {
        let sum = 1 << (BITS - 1);
        for (let i = 0; i < weights.length; i++) sum += weights[i]! * data[(y * width + first + i) * 4 + c]!;
        middle[(y * size + x) * 3 + c] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** BITS)));
      }
    }
  }
  const result = new Uint8Array(size * size * 3);
  for (let y = 0; y < size; y++) {
    const { first, weights } = rows[y]!;
    for (let x = 0; x < size * 3; x++) {
      let sum = 1 << (BITS - 1);
      for (let i = 0; i < weights.length; i++) sum += weights[i]! * middle[(first + i) * size * 3 + x]!;
      result[y * size * 3 + x] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** BITS)));
    }
  }
  return result;
}

/** The triangle filter, widened when shrinking: for `size` pixels from `start` on, of `to` made from `from`. */
function taps(from: number, to: number, start: number, size: number): Taps[] {
  const scale = from / to;
  const support = Math.max(scale, 1);
  return Array.from({ length: size }, (_, i) => {
    const centre = (start + i + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - support + 0.5));
    const end = Math.min(from, Math.floor(centre + support + 0.5));
    const weights = Array.from({ length: end - first }, (_, k) =>
      Math.max(0, 1 - Math.abs((first + k - centre + 0.5) / support)),
    );
    const total = weights.reduce((a, b) => a + b, 0);
    return { first, weights: Int32Array.from(weights, (weight) => Math.floor((weight / total) * 2 ** BITS + 0.5)) };
  });
}

function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
