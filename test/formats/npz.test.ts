import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../src/errors.js';
import type { DType, NdArray } from '../../src/formats/array.js';
import { toFloat32 } from '../../src/formats/array.js';
import { readNpy, writeNpy } from '../../src/formats/npy.js';
import { readNpz, writeNpz } from '../../src/formats/npz.js';

const fixture = (name: string) => new Uint8Array(readFileSync(new URL(`../fixtures/formats/${name}`, import.meta.url)));

/** fixtures/formats/make.py writes these. */
const grid = Array.from({ length: 24 }, (_, i) => i);

describe.each(['stored.npz', 'deflated.npz'])('%s, written by NumPy', (name) => {
  const npz = readNpz(fixture(name), name);

  it.each<DType>(['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'])('%s', (dtype) => {
    const array = npz.get(dtype);
    expect(array.dtype).toBe(dtype);
    expect(array.shape).toEqual([2, 3, 4]);
    expect(Array.from(array.data as Int32Array, Number)).toEqual(dtype[0] === 'i' ? grid.map((i) => i - 3) : grid);
  });

  it.each<DType>(['float32', 'float64'])('%s', (dtype) => {
    expect(npz.get(dtype)).toMatchObject({ dtype, shape: [2, 3, 4] });
    expect([...npz.get(dtype).data]).toEqual(grid.map((i) => i / 8 - 1));
  });

  it('float16, to float32 exactly', () => {
    const third = 0.333251953125;
    const expected = [0, -0, 1, -2, third, 65504, 2 ** -24, 2 ** -14, Infinity, -Infinity, NaN];
    expect([...toFloat32(npz.get('float16'))]).toEqual(expected);
  });

  it('bool', () => expect(npz.get('bool')).toEqual({ dtype: 'bool', shape: [3], data: Uint8Array.of(1, 0, 1) }));

  it('Fortran order, to C order', () => {
    expect(npz.get('fortran')).toEqual({ dtype: 'float32', shape: [2, 3, 4], data: Float32Array.from(grid) });
  });

  it('a scalar and an empty array', () => {
    expect(npz.get('scalar')).toEqual({ dtype: 'int64', shape: [], data: BigInt64Array.of(7n) });
    expect(npz.get('empty')).toEqual({ dtype: 'float32', shape: [0, 3], data: new Float32Array() });
  });

  it('names its arrays, and refuses another name', () => {
    expect(npz.names).toHaveLength(15);
    expect(npz.has('fortran')).toBe(true);
    expect(npz.has('images')).toBe(false);
    expect(() => npz.get('images')).toThrow(/no array 'images'; it holds: int8, uint8/);
  });
});

it('views stored bytes instead of copying them', () => {
  const bytes = fixture('stored.npz');
  expect(readNpz(bytes, 'stored.npz').get('uint8').data.buffer).toBe(bytes.buffer);
});

it('reads the same from bytes that begin anywhere in a buffer', () => {
  const bytes = fixture('stored.npz');
  const shifted = new Uint8Array(bytes.length + 3).subarray(3);
  shifted.set(bytes);
  expect(readNpz(shifted, 'shifted.npz').get('fortran').data).toEqual(Float32Array.from(grid));
});

it.each([1, 2, 3])('.npy version %d', (version) => {
  const array = readNpy(fixture(`version${version}.npy`), 'v.npy');
  expect(array).toEqual({ dtype: 'float32', shape: [2, 3, 4], data: Float32Array.from(grid) });
});

describe('refuses', () => {
  const npz = readNpz(fixture('unreadable.npz'), 'unreadable.npz');

  it.each([
    ['big_endian', /unreadable\.npz: big_endian is big-endian \(>f4\); save array\.astype\('<f4'\)/],
    ['text', /text is of type '<U2'; save it as numbers/],
    ['complex', /complex is of type '<c8'/],
    ['structured', /structured is not an array of plain numbers/],
    ['objects', /objects is of type '\|O'/],
  ])('%s', (name, message) => {
    expect(() => npz.get(name)).toThrow(DataError);
    expect(() => npz.get(name)).toThrow(message);
  });

  it('an .npy with fewer or more bytes than its shape takes', () => {
    const bytes = fixture('version1.npy');
    expect(() => readNpy(bytes.subarray(0, -1), 'x.npy')).toThrow(/x\.npy holds 95 bytes where .* takes 96/);
    expect(() => readNpy(Uint8Array.of(...bytes, 0), 'x.npy')).toThrow(/holds 97 bytes/);
    expect(() => readNpy(bytes.subarray(0, 60), 'x.npy')).toThrow(/cut short within its header/);
    expect(() => readNpy(bytes.subarray(0, 6), 'x.npy')).toThrow(/not a \.npy array of version 1, 2 or 3/);
  });

  it('an .npy of impossible size, before it takes memory', () => {
    const header = "{'descr': '<f8', 'fortran_order': True, 'shape': (9999999999, 9999999999), }";
    const bytes = Uint8Array.of(
      0x93,
      ...new TextEncoder().encode(`NUMPY\x01\x00${String.fromCharCode(header.length)}\0${header}`),
    );
    expect(() => readNpy(bytes, 'x.npy')).toThrow(/impossible shape \[9999999999, 9999999999\]/);
  });

  it('a changed byte in an entry, stored or deflated', () => {
    for (const name of ['stored.npz', 'deflated.npz']) {
      const bytes = fixture(name);
      bytes[120] ^= 1;
      expect(() => readNpz(bytes, name).get('int8')).toThrow(/: int8\.npy is damaged or cut short \(its checksum/);
    }
  });

  it('something else, and a zip64 archive without its records', () => {
    expect(() => readNpz(new Uint8Array(100), 'x.npz')).toThrow(/x\.npz is not a whole zip archive/);
    const bytes = fixture('stored.npz');
    bytes.fill(0xff, bytes.length - 12, bytes.length - 2);
    expect(() => readNpz(bytes, 'x.npz')).toThrow(/x\.npz is damaged or cut short/);
  });
});

describe('writeNpz', () => {
  const half: NdArray = { dtype: 'float16', shape: [2], data: Uint16Array.of(0x3c00, 0xc000) };
  const arrays: Record<string, NdArray> = {
    'a/b.c': { dtype: 'float32', shape: [2, 2], data: Float32Array.of(1, -2, 0.5, 3) },
    label: { dtype: 'int64', shape: [], data: BigInt64Array.of(-5n) },
    images: { dtype: 'uint8', shape: [1, 2, 2, 1], data: Uint8Array.of(1, 2, 3, 255) },
    half,
  };

  it('is read back as it was', () => {
    const npz = readNpz(writeNpz(arrays), 'x.npz');
    expect(npz.names).toEqual(Object.keys(arrays));
    for (const [name, array] of Object.entries(arrays)) expect(npz.get(name)).toEqual(array);
  });

  it('writes .npy as NumPy does, byte for byte', () => {
    const array: NdArray = { dtype: 'float32', shape: [2, 3, 4], data: Float32Array.from(grid) };
    expect(writeNpy(array)).toEqual(fixture('version1.npy'));
  });

  it('gives equal bytes for equal arrays', () => expect(writeNpz(arrays)).toEqual(writeNpz({ ...arrays })));

  it('refuses bfloat16', () => {
    const array: NdArray = { dtype: 'bfloat16', shape: [1], data: Uint16Array.of(0) };
    expect(() => writeNpz({ array })).toThrow(/cannot hold bfloat16/);
  });
});
