import { describe, expect, it } from 'vitest';
import { gatherStrided, rowMajorStrides, toFloat16, toFloat32 } from '../../src/formats/array.js';

it('every finite float16 survives the way to float32, by the definition of binary16', () => {
  const data = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
  const floats = toFloat32({ dtype: 'float16', shape: [65536], data });
  // Neighbouring patterns of one sign are equally spaced within an exponent, and the spacing doubles with it.
  for (let bits = 0; bits < 0x7c00; bits++) {
    const spacing = 2 ** (Math.max(1, bits >> 10) - 25);
    if (floats[bits + 1] - floats[bits] !== spacing && bits + 1 < 0x7c00) expect.fail(`after pattern ${bits}`);
    if (floats[bits + 0x8000] !== -floats[bits]) expect.fail(`negative of pattern ${bits}`);
  }
  expect(floats[0x3c00]).toBe(1);
  expect(floats[0x7bff]).toBe(65504);
  expect(floats[0x7c00]).toBe(Infinity);
  expect(floats[0xfc00]).toBe(-Infinity);
  expect(floats[0x7e00]).toBeNaN();
});

it('bfloat16 is the upper half of a float32', () => {
  const data = Uint16Array.of(0x3f80, 0xc000, 0x0001, 0x7f80, 0x7fc0, 0x4049);
  expect([...toFloat32({ dtype: 'bfloat16', shape: [6], data })]).toEqual([1, -2, 2 ** -133, Infinity, NaN, 3.140625]);
});

it('integers and float64 round to the nearest float32; float32 is not copied', () => {
  expect([...toFloat32({ dtype: 'int64', shape: [2], data: BigInt64Array.of(-3n, 16777217n) })]).toEqual([
    -3, 16777216,
  ]);
  expect([...toFloat32({ dtype: 'float64', shape: [1], data: Float64Array.of(0.1) })]).toEqual([Math.fround(0.1)]);
  const data = Float32Array.of(1);
  expect(toFloat32({ dtype: 'float32', shape: [1], data })).toBe(data);
});

it('gathers a strided view', () => {
  const source = Float32Array.from({ length: 24 }, (_, i) => i);
  expect(rowMajorStrides([2, 3, 4])).toEqual([12, 4, 1]);
  expect([...gatherStrided('float32', source, 1, [2, 2, 2], [1, 12, 8])]).toEqual([1, 9, 13, 21, 2, 10, 14, 22]);
});

describe('toFloat16', () => {
  const every = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits);
  const values = toFloat32({ dtype: 'float16', shape: [1 << 16], data: every });

  it('gives back every half', () => {
    const back = toFloat16(values);
    for (const bits of every) {
      if (Number.isNaN(values[bits])) expect(back[bits]! & 0x7fff).toBeGreaterThan(0x7c00);
      else expect(back[bits]).toBe(bits);
    }
  });

  it('takes the nearest, and of two the even one', () => {
    // Positive halves in order; 65536 stands in for infinity, where rounding up leads.
    const halves = Array.from(values.subarray(0, 0x7c00)).concat(65536);
    const between = (t: number) =>
      Float32Array.from({ length: 0x7c00 }, (_, i) => halves[i]! + t * (halves[i + 1]! - halves[i]!));
    for (const [t, up] of [
      [0.5, (i: number) => i % 2],
      [0.49, () => 0],
      [0.51, () => 1],
    ] as const) {
      const rounded = toFloat16(between(t));
      const negative = toFloat16(between(t).map((value) => -value));
      const wrong = rounded.findIndex((bits, i) => bits !== i + up(i) || negative[i] !== bits + 0x8000);
      expect(wrong, `${t} between half ${wrong} and the next`).toBe(-1);
    }
    expect([...toFloat16(Float32Array.of(1e6, -1e6, 1e-9, -1e-9))]).toEqual([0x7c00, 0xfc00, 0, 0x8000]);
  });
});
