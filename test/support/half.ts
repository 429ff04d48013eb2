/** Float16, for buffers that kernels take as such. */
import { toFloat16, toFloat32 } from '../../src/formats/array.js';

/** Numbers as float16, two to a word. */
export const packHalves = (values: Float32Array): Uint32Array => new Uint32Array(toFloat16(values).buffer);

export function unpackHalves(words: Uint32Array): Float32Array {
  const data = new Uint16Array(words.buffer, words.byteOffset, words.length * 2);
  return toFloat32({ dtype: 'float16', shape: [data.length], data });
}

/** Each number as the nearest float16. */
export const roundToHalves = (values: Float32Array): Float32Array =>
  toFloat32({ dtype: 'float16', shape: [values.length], data: toFloat16(values) });
