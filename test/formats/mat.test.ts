import { readFileSync } from 'node:fs';
import { zlibSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { imageSetFromMat } from '../../src/data/image-set.js';
import { DataError } from '../../src/errors.js';
import { readMat } from '../../src/formats/mat.js';

const fixture = (name: string) => new Uint8Array(readFileSync(new URL(`../fixtures/formats/${name}`, import.meta.url)));
const header = fixture('svhn-v6.mat').subarray(0, 128);

/** An element by the published layout: type, size, data, padding. */
function element(type: number, data: Uint8Array, padded = true): Uint8Array {
  const bytes = new Uint8Array(8 + (padded ? Math.ceil(data.length / 8) * 8 : data.length));
  new DataView(bytes.buffer).setUint32(0, type, true);
  new DataView(bytes.buffer).setUint32(4, data.length, true);
  bytes.set(data, 8);
  return bytes;
}
const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const int32s = (...values: number[]) => new Uint8Array(Int32Array.from(values).buffer);

/** An array of class 9 (uint8) whose elements are stored as `type`. */
function matrix(name: string, sizes: number[], data: Uint8Array, { type = 2, flags = 9 } = {}): Uint8Array {
  const parts = [
    element(6, int32s(flags, 0)),
    element(5, int32s(...sizes)),
    element(1, new TextEncoder().encode(name)),
    element(type, data),
  ];
  return element(14, join(...parts));
}
const file = (...elements: Uint8Array[]) => join(header, ...elements);

describe('readMat', () => {
  it('reads what SciPy wrote, compressed and not', () => {
    for (const name of ['svhn.mat', 'svhn-v6.mat']) {
      const arrays = readMat(fixture(name), name);
      expect(arrays.get('X')).toMatchObject({ dtype: 'uint8', shape: [32, 32, 3, 3] });
      expect([...arrays.get('y')!.data]).toEqual([1, 9, 10]);
      expect(arrays.has('note'), 'text is passed over').toBe(false);
    }
    expect(readMat(fixture('svhn-v6.mat'), 'x').get('empty')).toMatchObject({ shape: [0, 2] });
  });

  it('reads elements of up to four bytes within their tag, and numbers stored as a smaller type', () => {
    const parts = join(
      element(6, int32s(6, 0)),
      element(5, int32s(1, 3)),
      join(Uint8Array.of(1, 0, 1, 0), Uint8Array.of(0x79, 0, 0, 0)), // miINT8, 1 byte: "y"
      join(Uint8Array.of(2, 0, 3, 0), Uint8Array.of(7, 8, 9, 0)), // miUINT8, 3 bytes
    );
    const y = readMat(file(element(14, parts)), 'x').get('y')!;
    expect(y).toMatchObject({ shape: [1, 3], data: Uint8Array.of(7, 8, 9) });
  });

  it.each<[string, () => Uint8Array, RegExp]>([
    [
      'another version',
      () => new TextEncoder().encode('MATLAB 7.3 MAT-file, HDF5'),
      /not a MAT-file of version 5; save it with -v7/,
    ],
    [
      'big-endian',
      () => header.map((byte, i) => (i === 126 ? 0x4d : i === 127 ? 0x49 : byte)),
      /is big-endian or damaged/,
    ],
    ['an element cut short', () => file(matrix('X', [1, 3], Uint8Array.of(1, 2, 3)).subarray(0, 60)), /is cut short/],
    ['a tag cut short', () => file(Uint8Array.of(14, 0, 0)), /is cut short/],
    [
      'more elements than the sizes say',
      () => file(matrix('X', [1, 2], Uint8Array.of(1, 2, 3))),
      /X holds 3 bytes where uint8 \[1, 2\] takes 2/,
    ],
    ['a negative size', () => file(matrix('X', [-1, 3], Uint8Array.of(1, 2, 3))), /X has the impossible shape/],
    [
      'a type that is no number',
      () => file(matrix('X', [1, 3], Uint8Array.of(1, 2, 3), { type: 16 })),
      /stored as type 16/,
    ],
    [
      'compressed data that are damaged',
      () =>
        file(
          element(
            15,
            zlibSync(matrix('X', [1, 3], Uint8Array.of(1, 2, 3))).map((byte, i) => (i === 20 ? byte ^ 1 : byte)),
            false,
          ),
        ),
      /damaged or cut short/,
    ],
    [
      'a small file that claims 4 GB',
      () => file(element(15, zlibSync(join(int32s(14, -16), new Uint8Array(1000))), false)),
      /damaged or cut short/,
    ],
  ])('refuses %s', (_, make, message) => {
    expect(() => readMat(make(), 'x.mat')).toThrow(DataError);
    expect(() => readMat(make(), 'x.mat')).toThrow(message);
  });

  it('complex and sparse arrays and structures are passed over', () => {
    const parts = [0x0809, 5, 2, 1].map((flags, i) => matrix(`a${i}`, [1, 1], Uint8Array.of(1), { flags }));
    expect(readMat(file(...parts), 'x').size).toBe(0);
  });
});

describe('imageSetFromMat refuses', () => {
  const X = matrix('X', [32, 32, 3, 1], new Uint8Array(3072));
  it.each<[string, Uint8Array, RegExp]>([
    [
      'a file without X',
      file(matrix('y', [1, 1], Uint8Array.of(1))),
      /x\.mat: X must be uint8 32 x 32 x 3 x N, but is missing/,
    ],
    ['X of another size', file(matrix('X', [32, 32, 1, 3], new Uint8Array(3072))), /but is uint8 32 x 32 x 1 x 3/],
    [
      'too few labels',
      file(matrix('X', [32, 32, 3, 2], new Uint8Array(6144)), matrix('y', [1, 1], Uint8Array.of(1))),
      /labels must be one an image, 2/,
    ],
    ['a label that is no digit', file(X, matrix('y', [1, 1], Uint8Array.of(11))), /y 0 is 11, but digits go to 10/],
  ])('%s', (_, bytes, message) => {
    expect(() => imageSetFromMat(bytes, 'x.mat')).toThrow(DataError);
    expect(() => imageSetFromMat(bytes, 'x.mat')).toThrow(message);
  });

  it('nothing of one image, whose X has three axes', () => {
    expect(imageSetFromMat(file(matrix('X', [32, 32, 3], new Uint8Array(3072).fill(7))), 'x.mat').count).toBe(1);
  });
});
