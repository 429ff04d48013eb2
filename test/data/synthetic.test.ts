import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { stream } from '../../src/data/random.js';
import { cosine, sine } from '../../src/data/synthetic/fields.js';
import {
  CLASS_NAMES,
  OOD_FAMILIES,
  type OodFamily,
  type SyntheticSplit,
  syntheticImages,
  syntheticOod,
  syntheticOutliers,
} from '../../src/data/synthetic/index.js';
import { CLASSES, NOVEL_SHAPES, polyline } from '../../src/data/synthetic/shapes.js';

const IMAGE_BYTES = 32 * 32 * 3;
const image = (images: Uint8Array, k: number) => images.subarray(k * IMAGE_BYTES, (k + 1) * IMAGE_BYTES);
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const imageHashes = (images: Uint8Array) =>
  Array.from({ length: images.length / IMAGE_BYTES }, (_, k) => sha256(image(images, k)));

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const deviation = (values: readonly number[]) => Math.sqrt(mean(values.map((v) => v * v)) - mean(values) ** 2);

/** The share of test points whose nearest class centroid, in standardised features, is their own. */
function nearestCentroid(train: number[][], trainLabels: number[], test: number[][], testLabels: number[]): number {
  const axes = train[0].map((_, axis) => train.map((features) => features[axis]));
  const [centres, widths] = [axes.map(mean), axes.map((axis) => deviation(axis) || 1)];
  const standard = (features: number[]) => features.map((value, axis) => (value - centres[axis]) / widths[axis]);
  const classes = [...new Set(trainLabels)];
  const centroids = classes.map((label) => {
    const members = train.filter((_, k) => trainLabels[k] === label).map(standard);
    return centres.map((_, axis) => mean(members.map((features) => features[axis])));
  });
  const correct = test.filter((features, k) => {
    const point = standard(features);
    const distances = centroids.map((centroid) => centroid.reduce((sum, c, axis) => sum + (c - point[axis]) ** 2, 0));
    return classes[distances.indexOf(Math.min(...distances))] === testLabels[k];
  });
  return correct.length / test.length;
}

describe('synthetic images', () => {
  const train = syntheticImages({ seed: 1, count: 600, split: 'train' });
  const test = syntheticImages({ seed: 1, count: 300, split: 'test' });

  it('are N x 32 x 32 x 3 bytes with a label each and ten names', () => {
    expect(train).toMatchObject({
      name: 'synthetic train',
      count: 600,
      height: 32,
      width: 32,
      classNames: CLASS_NAMES,
    });
    expect(train.images.length).toBe(600 * IMAGE_BYTES);
    expect(train.labels?.length).toBe(600);
    expect(CLASS_NAMES.length).toBe(10);
    expect(new Set(CLASS_NAMES).size).toBe(10);
  });

  it('hold every class once in every ten, in an order that changes', () => {
    const orders = new Set<string>();
    for (let start = 0; start < 600; start += 10) {
      const ten = [...train.labels!.subarray(start, start + 10)];
      orders.add(ten.join());
      expect(ten.sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
    expect(orders.size).toBeGreaterThan(50);
  });

  it('begin alike however many are asked for', () => {
    const short = syntheticImages({ seed: 1, count: 37, split: 'train' });
    expect(sha256(short.images)).toBe(sha256(train.images.subarray(0, 37 * IMAGE_BYTES)));
    expect([...short.labels!]).toEqual([...train.labels!.subarray(0, 37)]);
  });

  it('never come twice: not in a split, not in two splits, not under two seeds', () => {
    const others = (['validation', 'test'] as const).map((split) => syntheticImages({ seed: 1, count: 300, split }));
    const otherSeed = syntheticImages({ seed: 2, count: 300, split: 'train' });
    const hashes = [train, ...others, otherSeed].flatMap(({ images }) => imageHashes(images));
    expect(new Set(hashes).size).toBe(1500);
  });

  it('do not give their class away by colour, brightness, contrast or a thumbnail', () => {
    const features = (pixels: Uint8Array) => {
      const channels = [0, 1, 2].map((c) => Array.from({ length: 1024 }, (_, i) => pixels[3 * i + c]));
      const thumbnail = new Array<number>(48).fill(0);
      pixels.forEach((value, i) => {
        const [row, column] = [Math.floor(i / 96), Math.floor(i / 3) % 32];
        thumbnail[3 * (4 * (row >> 3) + (column >> 3)) + (i % 3)] += value;
      });
      return [...channels.map(mean), ...channels.map(deviation), ...thumbnail];
    };
    const all = ({ images, count }: { images: Uint8Array; count: number }) =>
      Array.from({ length: count }, (_, k) => features(image(images, k)));
    const accuracy = nearestCentroid(all(train), [...train.labels!], all(test), [...test.labels!]);
    expect(accuracy).toBeLessThan(0.2);
  });

  it('show the shape of their label: silhouettes, brought to one place and size, match their own class best', () => {
    const silhouettes = Object.values(CLASSES).map((shape) =>
      normalised((column, row) => (shape((column - 15.5) / 12, (row - 15.5) / 12) < 0 ? 1 : 0)),
    );
    let correct = 0;
    for (let k = 0; k < test.count; k++) {
      const seen = normalised(difference(image(test.images, k)));
      const likeness = silhouettes.map((silhouette) => silhouette.reduce((sum, value, i) => sum + value * seen[i], 0));
      if (likeness.indexOf(Math.max(...likeness)) === test.labels![k]) correct++;
    }
    // Chance is 0.1. Clutter, occlusion and outlines spoil most silhouettes; that is what the network is for.
    expect(correct / test.count).toBeGreaterThan(0.2);
  });

  it('refuse a split, a count or a seed that cannot be', () => {
    const split = 'train';
    expect(() => syntheticImages({ seed: 1, count: 1, split: 'val' as SyntheticSplit })).toThrow(
      /split val: choose one of train, validation, test/,
    );
    for (const count of [0, -1, 2.5, Number.NaN, 1e9]) {
      expect(() => syntheticImages({ seed: 1, count, split })).toThrow(/must be a whole number from 1 to 1000000/);
      expect(() => syntheticOutliers({ seed: 1, count })).toThrow(/must be a whole number from 1 to 1000000/);
      expect(() => syntheticOod('cells', { seed: 1, count })).toThrow(/must be a whole number from 1 to 1000000/);
    }
    expect(() => syntheticImages({ seed: 0.5, count: 1, split })).toThrow(/0.5 is not a whole number/);
    expect(() => syntheticOod('cats' as OodFamily, { seed: 1, count: 1 })).toThrow(
      /OOD family cats: choose one of glyphs, textures, noise, scenes, cells, novel_shapes/,
    );
  });
});

/** How far each pixel is from the median colour of the image's border. */
function difference(pixels: Uint8Array): (column: number, row: number) => number {
  const border = Array.from({ length: 1024 }, (_, i) => i).filter(
    (i) => i < 32 || i >= 992 || i % 32 === 0 || i % 32 === 31,
  );
  const median = [0, 1, 2].map((c) => border.map((i) => pixels[3 * i + c]).sort((a, b) => a - b)[border.length >> 1]);
  return (column, row) => {
    const i = 3 * (32 * row + column);
    const far = Math.hypot(...median.map((value, c) => pixels[i + c] - value));
    return far > 60 ? 1 : 0;
  };
}

/** A map on 32 x 32, moved to its centroid, scaled by its spread, and normalised: 24 x 24, mean 0, norm 1. */
function normalised(map: (column: number, row: number) => number): number[] {
  const points = Array.from({ length: 1024 }, (_, i) => [i % 32, Math.floor(i / 32)] as const);
  const total = points.reduce((sum, [x, y]) => sum + map(x, y), 0) || 1;
  const centre = [0, 1].map((axis) => points.reduce((sum, p) => sum + p[axis] * map(...p), 0) / total);
  const spread = Math.sqrt(
    points.reduce((sum, [x, y]) => sum + ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) * map(x, y), 0) / total,
  );
  const sampled = Array.from({ length: 576 }, (_, i) => {
    const x = Math.round(centre[0] + ((i % 24) - 11.5) * (spread / 6));
    const y = Math.round(centre[1] + (Math.floor(i / 24) - 11.5) * (spread / 6));
    return x >= 0 && y >= 0 && x < 32 && y < 32 ? map(x, y) : 0;
  });
  const average = mean(sampled);
  const norm = Math.sqrt(sampled.reduce((sum, value) => sum + (value - average) ** 2, 0)) || 1;
  return sampled.map((value) => (value - average) / norm);
}

describe('synthetic outliers and OOD families', () => {
  const sets = [
    syntheticImages({ seed: 1, count: 160, split: 'test' }),
    syntheticOutliers({ seed: 1, count: 160 }),
    ...OOD_FAMILIES.map((family) => syntheticOod(family, { seed: 1, count: 160 })),
  ];

  it('have names, no labels, no image in common and none twice', () => {
    expect(sets.slice(1).map(({ name, labels, count }) => [name, labels, count])).toEqual(
      ['synthetic outliers', ...OOD_FAMILIES].map((name) => [name, undefined, 160]),
    );
    expect(new Set(sets.flatMap(({ images }) => imageHashes(images))).size).toBe(160 * sets.length);
  });

  it('begin alike however many are asked for, and differ by seed', () => {
    expect(sha256(syntheticOutliers({ seed: 1, count: 9 }).images)).toBe(
      sha256(sets[1].images.subarray(0, 9 * IMAGE_BYTES)),
    );
    expect(sha256(syntheticOutliers({ seed: 2, count: 9 }).images)).not.toBe(
      sha256(syntheticOutliers({ seed: 1, count: 9 }).images),
    );
    for (const family of OOD_FAMILIES) {
      const { images } = sets[2 + OOD_FAMILIES.indexOf(family)];
      expect(sha256(syntheticOod(family, { seed: 1, count: 9 }).images)).toBe(
        sha256(images.subarray(0, 9 * IMAGE_BYTES)),
      );
      expect(sha256(syntheticOod(family, { seed: 2, count: 9 }).images)).not.toBe(
        sha256(images.subarray(0, 9 * IMAGE_BYTES)),
      );
    }
  });

  it('are families apart: statistics of edges tell them from each other, but not novel shapes from the classes', () => {
    // Log mean squared differences along both axes, over 1 to 8 pixels.
    const features = (pixels: Uint8Array) =>
      [1, 2, 4, 8].flatMap((step) =>
        [3 * step, 96 * step].map((stride) => {
          let sum = 0;
          for (let i = stride; i < IMAGE_BYTES; i++) sum += (pixels[i] - pixels[i - stride]) ** 2;
          return Math.log(1 + sum / IMAGE_BYTES);
        }),
      );
    const told = (names: readonly string[]) => {
      const chosen = sets.filter(({ name }) => names.includes(name));
      const points = chosen.flatMap(({ images }, label) =>
        Array.from({ length: 160 }, (_, k) => ({ label, features: features(image(images, k)), held: k >= 100 })),
      );
      const part = (held: boolean) => points.filter((point) => point.held === held);
      return nearestCentroid(
        part(false).map((point) => point.features),
        part(false).map((point) => point.label),
        part(true).map((point) => point.features),
        part(true).map((point) => point.label),
      );
    };
    expect(told(['textures', 'noise', 'scenes', 'cells', 'glyphs'])).toBeGreaterThan(0.45); // chance 0.2
    expect(told(['synthetic test', 'novel_shapes'])).toBeLessThan(0.65); // chance 0.5
  });
});

describe('the bytes', () => {
  // Pinned: weights/ holds a network trained on them, and a machine that gives others is not bit-exact.
  const pinned: Readonly<Record<string, string>> = {
    train: '16baa0e9651689d09285930ecaa47cbfff1c585719faf167d15160f627205489',
    validation: 'cfce77985c9142bae58e5aa2caab7f7a633775a5f956c48d8c26a838996f7dcf',
    test: 'b79feba1e7d30d5ec12fc87426dad8ef785411b1f0afab62a26bdf6223343acb',
    outliers: 'c5fc5ff343ee10923655a0c12b1b3e3d809388996ce6cbe9d0ca1ec86267162e',
    glyphs: '5b6b9105a48e3521d096411c4a23052e62d8c25fb6a1e2f26636781cd9be2a1f',
    textures: 'a02db80f29700efd66f1d67d089396b5f48e40d5d4e28b152311a9af23905ddb',
    noise: 'e84cdb47be5fdc690e6a76dd00b08826a4a15cde02196aea72aa33d62c5ecac1',
    scenes: 'c1ea3e36abd2868620ce620e42b071a0a249a6fd252d32d1897a113174f9d519',
    cells: 'b72324ea681c842560316130aa64449043a72826d6fb0e359ade1edd16ef772c',
    novel_shapes: '6a61e5b3b19734dfdc135f9cdd1bf82bf4e91b7ce5dd61b3ee27d1a08103cefe',
  };
  const options = { seed: 1, count: 100 };
  const generate = (name: string) => {
    if (name === 'outliers') return syntheticOutliers(options);
    if (OOD_FAMILIES.includes(name as OodFamily)) return syntheticOod(name as OodFamily, options);
    return syntheticImages({ ...options, split: name as SyntheticSplit });
  };

  it.each(Object.keys(pinned))('of %s are the same on every machine', (name) => {
    const { images, labels } = generate(name);
    expect(sha256(Uint8Array.from([...images, ...(labels ?? [])]))).toBe(pinned[name]);
  });
});

describe('shapes', () => {
  it('have the areas that geometry gives them', () => {
    const area = (name: string) => {
      let inside = 0;
      for (let i = 0; i < 300 * 300; i++) {
        if (CLASSES[name](((i % 300) - 149.5) / 120, (Math.floor(i / 300) - 149.5) / 120) < 0) inside++;
      }
      return inside / 120 ** 2;
    };
    expect(area('circle')).toBeCloseTo(Math.PI * 0.82 ** 2, 1);
    expect(area('square')).toBeCloseTo(1.5 ** 2, 1);
    expect(area('triangle')).toBeCloseTo((3 * Math.sqrt(3)) / 4, 1);
    expect(area('star')).toBeCloseTo(5 * 1.05 * 0.45 * Math.sin(Math.PI / 5), 1);
    expect(area('cross')).toBeCloseTo(0.6 * 1.9 * 2 - 0.6 ** 2, 1);
    // A square of half diagonal 0.78, and two halves of the disc over its side.
    expect(area('heart')).toBeCloseTo(2 * 0.78 ** 2 + Math.PI * 0.5515 ** 2, 1);
  });

  it('all reach about 1 from their centre, so that size tells nothing', () => {
    for (const shape of [...Object.values(CLASSES), ...NOVEL_SHAPES]) {
      let reach = 0;
      for (let i = 0; i < 80 * 80; i++) {
        const [x, y] = [((i % 80) - 39.5) / 25, (Math.floor(i / 80) - 39.5) / 25];
        if (shape(x, y) < 0) reach = Math.max(reach, Math.hypot(x, y));
      }
      expect(reach).toBeGreaterThan(0.75);
      expect(reach).toBeLessThan(1.3);
    }
  });

  it('are distances: never steeper than 1, and as steep nearly everywhere for polygons and lines', () => {
    const random = stream(1);
    const slope = (field: (x: number, y: number) => number, x: number, y: number) => {
      const h = 1e-5;
      return Math.hypot(field(x + h, y) - field(x - h, y), field(x, y + h) - field(x, y - h)) / (2 * h);
    };
    const line = polyline([-1, 0, 0.3, 0.2, 0.5, -0.7]);
    for (let i = 0; i < 200; i++) {
      const [x, y] = [2.4 * random.uniform() - 1.2, 2.4 * random.uniform() - 1.2];
      for (const shape of [...Object.values(CLASSES), ...NOVEL_SHAPES]) {
        expect(slope(shape, x, y)).toBeLessThan(1.001);
      }
      expect(slope(line, x, y)).toBeGreaterThan(0.7);
      expect(slope(CLASSES.square, x, y)).toBeGreaterThan(0.7);
    }
  });

  it('turn by sines that agree with the platform to a millionth', () => {
    for (let t = -3; t <= 3; t += 0.013) {
      expect(Math.abs(sine(t) - Math.sin(2 * Math.PI * t))).toBeLessThan(1e-6);
      expect(Math.abs(cosine(t) - Math.cos(2 * Math.PI * t))).toBeLessThan(1e-6);
    }
  });
});
