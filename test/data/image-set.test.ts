import { gzipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import {
  gatherImages,
  type ImageSet,
  imageSetFromCifar,
  imageSetFromNpz,
  loadImages,
  pickImages,
  piecesOf,
  readImages,
  requireLabels,
  subset,
} from '../../src/data/image-set.js';
import { DataError } from '../../src/errors.js';
import type { NdArray } from '../../src/formats/array.js';
import { writeNpz } from '../../src/formats/npz.js';
import { cifar10Files, tar, tarEntry } from '../formats/support/cifar.js';

const zeros = (...shape: number[]): NdArray => {
  const length = shape.reduce((product, size) => product * size, 1);
  return { dtype: 'uint8', shape, data: new Uint8Array(length).map((_, i) => i) };
};
const int64 = (...values: bigint[]): NdArray => ({
  dtype: 'int64',
  shape: [values.length],
  data: BigInt64Array.from(values),
});
const images = zeros(3, 32, 32, 3);
const load = (arrays: Record<string, NdArray>) => imageSetFromNpz(writeNpz(arrays), 'data/cats.npz');

describe('imageSetFromNpz', () => {
  it('images and labels', () => {
    const set = load({ images, labels: int64(2n, 0n, 1n) });
    expect(set).toMatchObject({ name: 'cats', count: 3, height: 32, width: 32, labels: Int32Array.of(2, 0, 1) });
    expect(set.images).toEqual(images.data);
  });

  it('images alone', () => expect(load({ images }).labels).toBeUndefined());

  it('labels of any integer type', () => {
    const labels: NdArray = { dtype: 'uint8', shape: [3], data: Uint8Array.of(9, 8, 7) };
    expect(load({ images, labels }).labels).toEqual(Int32Array.of(9, 8, 7));
  });

  const floats: NdArray = { dtype: 'float32', shape: [3], data: Float32Array.of(0, 1, 2) };
  it.each<[string, Record<string, NdArray>, RegExp]>([
    ['no images', { pictures: images }, /data\/cats\.npz has no array 'images'; it holds: pictures/],
    ['floats', { images: floats }, /images must be uint8 N x 32 x 32 x 3, but are float32 3; save them as bytes/],
    ['planes', { images: zeros(2, 3, 32, 32) }, /but are uint8 2 x 3 x 32 x 32; save images\.transpose\(0, 2, 3, 1\)/],
    ['grey images', { images: zeros(2, 32, 32) }, /but are uint8 2 x 32 x 32; resize them or convert them to RGB/],
    ['another size', { images: zeros(1, 64, 64, 3) }, /but are uint8 1 x 64 x 64 x 3; resize/],
    ['a scalar', { images: zeros() }, /but are uint8 of no axes/],
    ['nothing', { images: zeros(0, 32, 32, 3) }, /images holds no image/],
    ['float labels', { images, labels: floats }, /labels must be integers, but are float32/],
    [
      'too few labels',
      { images, labels: int64(0n, 1n) },
      /labels must be one an image, 3, but are 2; save one for each/,
    ],
    [
      'labels of two axes',
      { images, labels: { ...int64(0n, 1n, 2n), shape: [3, 1] } },
      /one an image, 3, but are 3 x 1/,
    ],
    ['a negative label', { images, labels: int64(0n, -1n, 2n) }, /label 1 is -1; number the classes from 0/],
    ['a huge label', { images, labels: int64(0n, 1n, 2n ** 32n) }, /label 2 is 4294967296/],
  ])('refuses %s', (_, arrays, message) => {
    expect(() => load(arrays)).toThrow(DataError);
    expect(() => load(arrays)).toThrow(message);
  });
});

it('imageSetFromCifar, from files and from an archive', () => {
  const files = cifar10Files();
  const set = imageSetFromCifar(files, 'test', 'data/cifar/');
  expect(set).toMatchObject({ name: 'cifar-test', count: 2, labels: Int32Array.of(8, 9) });
  expect(set.classNames).toEqual(['airplane', 'automobile']);
  const archive = gzipSync(tar(...[...files].map(([name, data]) => tarEntry(name, data))));
  expect(imageSetFromCifar(archive, 'test', 'cifar.tar.gz')).toEqual({ ...set, source: 'cifar.tar.gz' });
});

describe('requireLabels', () => {
  const set = load({ images, labels: int64(2n, 0n, 5n) });

  it('gives labels that fit', () => expect(requireLabels(set, 6)).toBe(set.labels));

  it('says which label does not', () => {
    expect(() => requireLabels(set, 5)).toThrow(DataError);
    expect(() => requireLabels(set, 5)).toThrow(
      /^data\/cats\.npz: label 2 is 5, but the network has 5 classes \(0 to 4\)/,
    );
  });

  it('refuses a set with another number of classes', () => {
    const named = { ...set, classNames: ['cat', 'dog'] };
    expect(() => requireLabels(named, 6)).toThrow(DataError);
    expect(() => requireLabels(named, 6)).toThrow(
      /^data\/cats\.npz has 2 classes, but the network has 6; give the data/,
    );
  });

  it('refuses a set without labels', () => {
    expect(() => requireLabels(load({ images }), 5)).toThrow(
      /^data\/cats\.npz has no labels; add an integer array 'labels'/,
    );
  });
});

describe('a set of fewer bytes than it says', () => {
  const short: ImageSet = { ...load({ images }), count: 4 };
  const message = 'data/cats.npz gives 9216 bytes for 4 images of 32 x 32 RGB pixels, which take 12288';
  const { images: _, ...properties } = short;
  const source = { ...properties, read: async () => new Uint8Array(10), gather: async () => new Uint8Array(10) };

  it('is refused where images are read', async () => {
    await expect(readImages(short, 0, 1)).rejects.toThrow(message);
    await expect(gatherImages(short, Uint32Array.of(0))).rejects.toThrow(message);
    await expect(readImages(source, 0, 2)).rejects.toThrow(/gives 10 bytes for 2 images/);
    await expect(gatherImages(source, Uint32Array.of(3))).rejects.toThrow(/gives 10 bytes for 1 images/);
    await expect(loadImages(source)).rejects.toThrow(/gives 10 bytes for 4 images/);
    expect(() => pickImages(short, Uint32Array.of(0))).toThrow(message);
  });
});

describe('subset', () => {
  const set = load({ images, labels: int64(2n, 0n, 5n) });

  it('takes images and their labels', () => {
    const part = subset(set, 1, 2);
    expect(part).toMatchObject({ count: 2, height: 32, labels: Int32Array.of(0, 5) });
    expect(part.images).toEqual(images.data.slice(3072));
    expect(subset(load({ images }), 0, 1).labels).toBeUndefined();
  });

  it.each([
    [-1, 1],
    [0, 0],
    [2, 2],
    [0, 1.5],
    [Number.NaN, 1],
  ])('refuses %d and %d of 3', (start, count) => {
    expect(() => subset(set, start, count)).toThrow(/cats has 3 images; .* cannot be taken/);
  });
});

describe('piecesOf', () => {
  const images = Uint8Array.from({ length: 7 * 3072 }, (_, i) => Math.floor(i / 3072));
  const set: ImageSet = {
    name: 's',
    images,
    count: 7,
    height: 32,
    width: 32,
    labels: Int32Array.of(0, 1, 2, 3, 4, 5, 6),
  };

  it('cuts a set, and leaves a small one as it is', () => {
    expect(piecesOf(set, 7)).toEqual([set]);
    expect(piecesOf(set, 7)[0]).toBe(set);
    const parts = piecesOf(set, 3);
    expect(parts.map(({ count, labels }) => [count, [...labels!]])).toEqual([
      [3, [0, 1, 2]],
      [3, [3, 4, 5]],
      [1, [6]],
    ]);
    expect(parts.map((part) => part.images[0])).toEqual([0, 3, 6]);
  });
});
