import { DataError } from '../errors.js';

/** A picture of any size, as `ImageData` is: bytes RGB or RGBA (which of them, their number tells), rows one after the other. */
export interface Picture {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** Weights are whole numbers of 2^-22, as in Pillow: a sum of bytes times weights fits 32 bits. */
const BITS = 22;
const HALF = 1 << (BITS - 1);

/** Which pixels make a pixel, and with what weights in units of 2^-22. */
interface Taps {
  readonly first: number;
  readonly weights: Int32Array;
}

/** How a picture of one size is fitted: the taps of the `size` columns and rows of the result. */
export interface Fit {
  readonly columns: readonly Taps[];
  readonly rows: readonly Taps[];
}

/**
 * A picture as a network takes it: its short side scaled to `size` (bilinear with antialiasing, in whole numbers, to the
 * bit as Pillow and torchvision's `Resize` do it), then the middle of the long side. What is transparent is laid on black.
 * @returns size x size x 3 bytes, RGB
 * @throws DataError where width, height and the number of bytes do not fit
 */
export function fitPicture(picture: Picture, size: number): Uint8Array {
  const { width, height } = picture;
  const data = opaque(picture);
  const { columns, rows } = fitOf(width, height, size);
  // Only the rows that the result is made of.
  const top = rows[0]!.first;
  const last = rows[size - 1]!;
  const bottom = last.first + last.weights.length;

  const middle = new Uint8Array(size * (bottom - top) * 3);
  for (let y = top; y < bottom; y++) {
    for (let x = 0; x < size; x++) {
      const { first, weights } = columns[x]!;
      const from = (y * width + first) * 3;
      const to = ((y - top) * size + x) * 3;
      for (let c = 0; c < 3; c++) {
        let sum = HALF;
        for (let i = 0; i < weights.length; i++) sum += weights[i]! * data[from + i * 3 + c]!;
        middle[to + c] = sum >> BITS;
      }
    }
  }
  const result = new Uint8Array(size * size * 3);
  for (let y = 0; y < size; y++) {
    const { first, weights } = rows[y]!;
    for (let x = 0; x < size * 3; x++) {
      let sum = HALF;
      for (let i = 0; i < weights.length; i++) sum += weights[i]! * middle[(first - top + i) * size * 3 + x]!;
      result[y * size * 3 + x] = sum >> BITS;
    }
  }
  return result;
}

/** How a picture of width x height becomes size x size. */
export function fitOf(width: number, height: number, size: number): Fit {
  // torchvision: the long side is cut down to a whole number, the crop's offset rounded half to even.
  const short = Math.min(width, height);
  const newWidth = width === short ? size : Math.floor((size * width) / short);
  const newHeight = height === short ? size : Math.floor((size * height) / short);
  return {
    columns: taps(width, newWidth, roundHalfEven((newWidth - size) / 2), size),
    rows: taps(height, newHeight, roundHalfEven((newHeight - size) / 2), size),
  };
}

/** The picture's RGB, checked. */
function opaque({ data, width, height }: Picture): Uint8Array | Uint8ClampedArray {
  const pixels = width * height;
  const isSize = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!isSize || (data.length !== pixels * 3 && data.length !== pixels * 4)) {
    throw new DataError(
      `a picture of ${width} x ${height} has ${pixels * 3} bytes of RGB or ${pixels * 4} of RGBA, but ${data.length} were given`,
    );
  }
  if (data.length === pixels * 3) return data;
  const rgb = new Uint8Array(pixels * 3);
  for (let i = 0; i < pixels; i++) {
    const alpha = data[i * 4 + 3]!;
    for (let c = 0; c < 3; c++) {
      const value = data[i * 4 + c]!;
      rgb[i * 3 + c] = alpha === 255 ? value : Math.round((value * alpha) / 255);
    }
  }
  return rgb;
}

/** The triangle filter, widened when shrinking: for `size` pixels from `start` on, of `to` made from `from`. */
function taps(from: number, to: number, start: number, size: number): Taps[] {
  const scale = from / to;
  const support = Math.max(scale, 1);
  const narrowing = 1 / support;
  return Array.from({ length: size }, (_, i) => {
    const centre = (start + i + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - support + 0.5));
    const end = Math.min(from, Math.floor(centre + support + 0.5));
    const weights = Array.from({ length: end - first }, (_, k) =>
      Math.max(0, 1 - Math.abs((first + k - centre + 0.5) * narrowing)),
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
