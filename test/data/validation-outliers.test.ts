import { describe, expect, it } from 'vitest';
import { gatherImages, type ImageSet, loadImages } from '../../src/data/image-set.js';
import { VALIDATION_FAMILIES, type ValidationFamily, validationOutliers } from '../../src/data/validation-outliers.js';
import { asSource } from '../support/sources.js';

const SIDE = 32;
const BYTES = SIDE * SIDE * 3;
const COUNT = 6;
const set = (value: (n: number, i: number) => number, count = COUNT): ImageSet => ({
  name: 'made',
  images: Uint8Array.from({ length: count * BYTES }, (_, at) => value(Math.floor(at / BYTES), at % BYTES)),
  count,
  height: SIDE,
  width: SIDE,
});
/** No two pixels of an image are alike, nor two images. */
const sources = set((n, i) => (i * 37 + Math.floor(i / 96) * 11 + n * 53) % 256);
const sourceOf = (n: number) => sources.images.subarray(n * BYTES, (n + 1) * BYTES);
const make = (
  family: ValidationFamily,
  from: Parameters<typeof validationOutliers>[1] = sources,
  count = 16,
  seed = 3,
): Promise<ImageSet> => loadImages(validationOutliers(family, from, { seed, count }));
const imageOf = ({ images }: ImageSet, k: number) => images.subarray(k * BYTES, (k + 1) * BYTES);

describe.each(VALIDATION_FAMILIES)('%s', (family) => {
  it('is decided by the seed; a longer set begins with the shorter; it names itself and has no labels', async () => {
    const made = await make(family);
    expect(made).toMatchObject({ name: family, count: 16, height: SIDE, width: SIDE });
    expect(made).not.toHaveProperty('labels');
    expect(Buffer.from((await make(family)).images)).toEqual(Buffer.from(made.images));
    expect(Buffer.from((await make(family, sources, 7)).images)).toEqual(
      Buffer.from(made.images.subarray(0, 7 * BYTES)),
    );
    expect(Buffer.from((await make(family, sources, 16, 4)).images)).not.toEqual(Buffer.from(made.images));
  });

  it('gives the same images by number, and of images that are not in memory', async () => {
    const made = await make(family);
    const rows = Uint32Array.of(11, 2, 2);
    const wanted = await gatherImages(made, rows);
    expect(await validationOutliers(family, asSource(sources), { seed: 3, count: 16 }).gather(rows)).toEqual(wanted);
  });

  it('of a source that gives Buffers is the same, and leaves them alone', async () => {
    const whole = Buffer.from(sources.images);
    const { images: _, ...properties } = sources;
    const buffers = {
      ...properties,
      read: async (start: number, count: number) => whole.subarray(start * BYTES, (start + count) * BYTES),
      gather: async (rows: Uint32Array) => Buffer.concat(Array.from(rows, (n) => sourceOf(n))),
    };
    expect((await make(family, buffers)).images).toEqual((await make(family)).images);
  });

  it('holds none of the images that it is made from', async () => {
    const originals = Array.from({ length: COUNT }, (_, n) => Buffer.from(sourceOf(n)));
    const made = await make(family);
    for (let k = 0; k < made.count; k++) {
      expect(originals.some((original) => original.equals(Buffer.from(imageOf(made, k))))).toBe(false);
    }
  });
});

describe('what the families do', () => {
  it('uniform noise: every byte value about as often, whatever the images', async () => {
    const { images } = await make('uniform_noise', sources, 30);
    const counts = new Float64Array(256);
    for (const value of images) counts[value]!++;
    const expected = images.length / 256;
    // Chi-squared with 255 degrees of freedom: 400 is beyond 1 in 10^7.
    expect(counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)).toBeLessThan(400);
    expect(
      (
        await make(
          'uniform_noise',
          set(() => 0),
        )
      ).images,
    ).toEqual((await make('uniform_noise')).images);
  });

  it.each([
    ['arithmetic_mean', (a: number, b: number) => (a + b) / 2],
    ['geometric_mean', (a: number, b: number) => Math.sqrt(a * b)],
  ] as const)('%s: of two different images, each', async (family, mean) => {
    // Image n is 40 n + 7 all over.
    const flat = set((n) => 40 * n + 7);
    const made = await make(family, flat);
    const possible = new Set<number>();
    for (let a = 0; a < COUNT; a++) {
      for (let b = 0; b < COUNT; b++) if (a !== b) possible.add(Math.round(mean(40 * a + 7, 40 * b + 7)));
    }
    const seen = new Set<number>();
    for (let k = 0; k < made.count; k++) {
      const image = imageOf(made, k);
      expect(new Set(image).size).toBe(1);
      seen.add(image[0]!);
      expect(possible).toContain(image[0]!);
    }
    expect(seen.size).toBeGreaterThan(4);
  });

  it('jigsaw: the 16 patches of 8 x 8 pixels of one image, in another order', async () => {
    const patch = (image: Uint8Array, p: number) =>
      Array.from({ length: 8 }, (_, y) => {
        const start = ((Math.floor(p / 4) * 8 + y) * SIDE + (p % 4) * 8) * 3;
        return Buffer.from(image.subarray(start, start + 24)).toString('hex');
      }).join();
    const patches = (image: Uint8Array) => Array.from({ length: 16 }, (_, p) => patch(image, p));
    const originals = Array.from({ length: COUNT }, (_, n) => patches(sourceOf(n)).sort());
    const made = await make('jigsaw');
    for (let k = 0; k < made.count; k++) expect(originals).toContainEqual(patches(imageOf(made, k)).sort());
  });

  it('speckle: the noise grows with the value, has mean 0 and deviation 0.6 of it', async () => {
    const { images } = await make(
      'speckle',
      set(() => 60),
      60,
    );
    const mean = images.reduce((sum, value) => sum + value, 0) / images.length;
    const deviation = Math.sqrt(images.reduce((sum, value) => sum + (value - mean) ** 2, 0) / images.length);
    // Below 0 it is cut off (4.8 % of N(0, 1) below -1/0.6): E max(0, 1 + 0.6 n) = 1.0126, and 0.571 deviation.
    expect(mean / 60).toBeCloseTo(1.0126, 2);
    expect(deviation / 60).toBeCloseTo(0.571, 2);
    expect(
      (
        await make(
          'speckle',
          set(() => 0),
        )
      ).images.every((value) => value === 0),
    ).toBe(true);
  });

  it('pixelation: 6 x 6 blocks, each the mean of what it covers', async () => {
    const made = await make('pixelation');
    for (let k = 0; k < 3; k++) {
      const image = imageOf(made, k);
      const colours = new Set(Array.from({ length: SIDE * SIDE }, (_, i) => image.subarray(3 * i, 3 * i + 3).join()));
      expect(colours.size).toBeLessThanOrEqual(36);
      expect(colours.size).toBeGreaterThan(6);
    }
    // A ramp: block (row, column) covers 32/6 pixels of values 4 x + 2 y, whose mean is that at its middle.
    const ramp = set((_, i) => 4 * (Math.floor(i / 3) % SIDE) + 2 * Math.floor(i / 3 / SIDE));
    const image = imageOf(await make('pixelation', ramp), 0);
    for (const [row, column] of [
      [0, 0],
      [2, 3],
      [5, 5],
    ] as const) {
      const [y, x] = [Math.floor(((row + 0.5) * SIDE) / 6), Math.floor(((column + 0.5) * SIDE) / 6)];
      const middle = (at: number) => ((at + 0.5) * SIDE) / 6 - 0.5;
      const wanted = 4 * middle(column) + 2 * middle(row);
      expect(Math.abs(image[(y * SIDE + x) * 3]! - wanted)).toBeLessThanOrEqual(0.5);
    }
  });

  it('RGB ghosting: each channel is another channel of the image, shifted round its edges by up to 8 pixels', async () => {
    const channel = (image: Uint8Array, c: number) => image.filter((_, i) => i % 3 === c);
    // One bright pixel a channel, at (10, 20), of values 100, 150, 200.
    const dots = set((_, i) => (Math.floor(i / 3) === 10 * SIDE + 20 ? 100 + 50 * (i % 3) : 0));
    const made = await make('rgb_ghosting', dots);
    const offsets = new Set<string>();
    for (let k = 0; k < made.count; k++) {
      const channels = [0, 1, 2].map((c) => channel(imageOf(made, k), c));
      const brightness = channels.map((values) => Math.max(...values));
      expect([...brightness].sort()).toEqual([100, 150, 200]);
      for (const [c, value] of brightness.entries()) expect(value).not.toBe(100 + 50 * c);
      for (const values of channels) {
        const at = values.findIndex((value) => value > 0);
        const [dy, dx] = [Math.floor(at / SIDE) - 10, (at % SIDE) - 20];
        expect(Math.max(Math.abs(dy), Math.abs(dx))).toBeLessThanOrEqual(8);
        offsets.add(`${dy},${dx}`);
      }
    }
    expect(offsets.size).toBeGreaterThan(30);
  });

  it('inversion: of some or all channels, each choice about as often', async () => {
    const made = await make(
      'inversion',
      set(() => 10),
      350,
    );
    const counts = new Map<string, number>();
    for (let k = 0; k < made.count; k++) {
      const image = imageOf(made, k);
      const first = image.subarray(0, 3).join();
      expect(image.every((value, i) => value === image[i % 3])).toBe(true);
      counts.set(first, (counts.get(first) ?? 0) + 1);
    }
    expect(counts.size).toBe(7);
    expect(counts.has('10,10,10')).toBe(false);
    for (const n of counts.values()) expect(n).toBeGreaterThan(25);
  });
});

it.each([
  [() => make('static' as ValidationFamily), 'validation family static: choose one of uniform_noise, arithmetic_mean,'],
  [() => make('speckle', sources, 0), 'speckle: 0 images; the count must be a whole number of 1 or more'],
  [
    () =>
      make(
        'jigsaw',
        set(() => 0, 1),
      ),
    'made has 1 image; jigsaw needs two',
  ],
])('refuses what cannot be (%#)', (build, message) => {
  expect(build).toThrow(message);
});
