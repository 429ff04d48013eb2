/** Inputs that every process makes for itself, the same on every side. */

/** `count` float32 values in [-1, 1), from a seed: a linear congruential generator's upper bits. */
export function uniform(count: number, seed: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(count);
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) >>> 0;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = (state >>> 8) / 2 ** 23 - 1;
  }
  return values;
}

/** {@link uniform}, times `scale`. */
export const scaled = (count: number, seed: number, scale: number): Float32Array<ArrayBuffer> =>
  uniform(count, seed).map((value) => value * scale);

/** Class numbers. */
export const labels = (count: number, classes: number): Int32Array =>
  Int32Array.from(uniform(count, 7), (value) => Math.floor(((value + 1) / 2) * classes));

/** Pixels 0 to 255 of `count` images of 32 x 32 RGB. */
export const pixels = (count: number, seed: number): Uint8Array =>
  Uint8Array.from(uniform(count * 32 * 32 * 3, seed), (value) => Math.floor((value + 1) * 128));

/** Labels as a [count, classes] matrix of ones and zeros, for engines that have no gather. */
export function oneHot(classNumbers: Int32Array, classes: number): Float32Array<ArrayBuffer> {
  const matrix = new Float32Array(classNumbers.length * classes);
  classNumbers.forEach((label, i) => {
    matrix[i * classes + label] = 1;
  });
  return matrix;
}
