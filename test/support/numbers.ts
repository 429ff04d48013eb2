import { expect } from 'vitest';

/** `length` float32 numbers without a pattern, in (-1, 1), the same in every run; `salt` makes other ones. */
export function noise(length: number, salt: number): Float32Array {
  let state = Math.imul(salt, 0x9e3779b1) + 0x6d2b79f5;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    let word = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d);
    word = Math.imul(word ^ (word >>> 12), 0x297a2d39);
    return ((word ^ (word >>> 15)) | 1) / 2 ** 31;
  });
}

export const f64 = (x: ArrayLike<number>): Float64Array => Float64Array.from(x);

const norm = (x: ArrayLike<number>) => Math.sqrt(Array.from(x).reduce((sum, value) => sum + value * value, 0));
const maxAbs = (x: ArrayLike<number>) => Array.from(x).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/**
 * `actual` has the length of `expected`, and agrees with it: the norm of the difference over the norm of `expected`, and the
 * largest difference over the largest element of `expected`, are both at most `tolerance`. NaN agrees with nothing.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what = '',
): void {
  expect(actual.length, `${what} length`).toBe(expected.length);
  const difference = Float64Array.from(expected, (value, i) => actual[i]! - value);
  expect(norm(difference), `${what} norm of the difference`).toBeLessThanOrEqual(tolerance * norm(expected));
  expect(maxAbs(difference), `${what} largest difference`).toBeLessThanOrEqual(tolerance * maxAbs(expected));
}
