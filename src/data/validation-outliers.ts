/**
 * Validation outliers: eight families of images that are made from in-distribution images, or from nothing, so that margins
 * and thresholds can be chosen without a look at any test set (Hendrycks, Mazeika and Dietterich, "Deep Anomaly Detection
 * with Outlier Exposure", 2019, section on validation distributions).
 *
 * Image k of a family depends on the seed, the family, k and the source images only: a longer set begins with the shorter.
 * Only integers, + - * / and sqrt are used, so the bytes are the same on every machine.
 */
import { DataError, UsageError } from '../errors.js';
import { gatherImages, type ImageSource, type Images, readByNumber, sourceOf } from './image-set.js';
import { type Random, stream } from './random.js';

/** Makes one image's bytes, of height x width x 3, from those of random source images. */
type Maker = (random: Random, size: Size, source: () => Uint8Array) => Uint8Array;

interface Size {
  readonly height: number;
  readonly width: number;
}

const byte = (value: number): number => Math.floor(Math.min(Math.max(value, 0), 255) + 0.5);

const mapTwo = (a: Uint8Array, b: Uint8Array, f: (a: number, b: number) => number): Uint8Array =>
  a.map((value, i) => byte(f(value, b[i]!)));

/** Patches along each side of a jigsaw: 16 in all. */
const JIGSAW = 4;
/** Standard deviation of speckle noise. */
const SPECKLE = 0.6;
/** Side of a pixelated image over the side of its source. */
const PIXELATED = 0.2;
/** Pixels that a colour channel's ghost lies off by, at most, along each axis. */
const GHOST = 8;

const MAKERS = {
  /** Every byte uniform in 0 to 255. */
  uniform_noise: (random, { height, width }) =>
    Uint8Array.from({ length: height * width * 3 }, () => random.uint32() >>> 24),
  /** (a + b) / 2 of two images. */
  arithmetic_mean: (_, __, source) => mapTwo(source(), source(), (a, b) => (a + b) / 2),
  /** sqrt(a b) of two images. */
  geometric_mean: (_, __, source) => mapTwo(source(), source(), (a, b) => Math.sqrt(a * b)),
  /** 16 patches in another order, never the image's own. */
  jigsaw(random, { height, width }, source) {
    const image = source();
    const patches = JIGSAW * JIGSAW;
    let order = random.shuffle(patches);
    while (order.every((from, to) => from === to)) order = random.shuffle(patches);
    const [tall, wide] = [Math.floor(height / JIGSAW), Math.floor(width / JIGSAW)];
    // A Buffer's slice would be no copy.
    const made = new Uint8Array(image);
    for (let y = 0; y < tall * JIGSAW; y++) {
      for (let x = 0; x < wide * JIGSAW; x++) {
        const from = order[Math.floor(y / tall) * JIGSAW + Math.floor(x / wide)]!;
        const sourceY = Math.floor(from / JIGSAW) * tall + (y % tall);
        const sourceX = (from % JIGSAW) * wide + (x % wide);
        for (let c = 0; c < 3; c++) made[(y * width + x) * 3 + c] = image[(sourceY * width + sourceX) * 3 + c]!;
      }
    }
    return made;
  },
  /** x + x n with n ~ N(0, 0.6²), of every byte by itself. */
  speckle: (random, _, source) => source().map((value) => byte(value + value * SPECKLE * random.normal())),
  /** Shrunk to a fifth by box averages, and enlarged again to blocks. */
  pixelation(_, { height, width }, source) {
    const image = source();
    const made = new Uint8Array(image.length);
    const [rows, columns] = [height, width].map((side) => Math.max(1, Math.floor(side * PIXELATED))) as [
      number,
      number,
    ];
    const means = Float64Array.from({ length: rows * columns * 3 }, (_, i) => {
      const [row, column] = [Math.floor(i / 3 / columns), Math.floor(i / 3) % columns];
      return boxMean(
        image,
        { height, width },
        i % 3,
        [row / rows, (row + 1) / rows],
        [column / columns, (column + 1) / columns],
      );
    });
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const block = Math.floor(((y + 0.5) / height) * rows) * columns + Math.floor(((x + 0.5) / width) * columns);
        for (let c = 0; c < 3; c++) made[(y * width + x) * 3 + c] = byte(means[block * 3 + c]!);
      }
    }
    return made;
  },
  /** Red, green and blue take each other's places, and each is shifted by up to 8 pixels, round the edges. */
  rgb_ghosting(random, { height, width }, source) {
    const image = source();
    const made = new Uint8Array(image.length);
    const turn = 1 + random.int(2);
    for (let c = 0; c < 3; c++) {
      const [down, right] = [random.int(2 * GHOST + 1) - GHOST, random.int(2 * GHOST + 1) - GHOST];
      for (let y = 0; y < height; y++) {
        const fromY = (((y + down) % height) + height) % height;
        for (let x = 0; x < width; x++) {
          const fromX = (((x + right) % width) + width) % width;
          made[(y * width + x) * 3 + c] = image[(fromY * width + fromX) * 3 + ((c + turn) % 3)]!;
        }
      }
    }
    return made;
  },
  /** Some or all channels as 255 - x. */
  inversion(random, _, source) {
    const channels = 1 + random.int(7);
    return source().map((value, i) => ((channels >> (i % 3)) & 1 ? 255 - value : value));
  },
} as const satisfies Record<string, Maker>;

export type ValidationFamily = keyof typeof MAKERS;

/** The families, in the order of the source. */
export const VALIDATION_FAMILIES = Object.keys(MAKERS) as readonly ValidationFamily[];

/**
 * Validation outliers of one family.
 * @param inDistribution what they are made from: never test images, where they are to choose anything
 * @param options.seed any whole number; `count`, how many
 * @returns `count` images of the source's size, without labels, named after the family, each made when it is read
 * @throws UsageError if there is no such family or the count cannot be; DataError where there are fewer than two images
 */
export function validationOutliers(
  family: ValidationFamily,
  inDistribution: Images,
  { seed, count }: { seed: number; count: number },
): ImageSource {
  if (!Object.hasOwn(MAKERS, family)) {
    throw new UsageError(`validation family ${family}: choose one of ${VALIDATION_FAMILIES.join(', ')}`);
  }
  if (!Number.isInteger(count) || count < 1) {
    throw new UsageError(`${family}: ${count} images; the count must be a whole number of 1 or more`);
  }
  const { count: available, height, width } = inDistribution;
  if (available < 2) throw new DataError(`${sourceOf(inDistribution)} has ${available} image; ${family} needs two`);
  const bytes = height * width * 3;
  const streams = stream(seed, 'validation outliers', family);
  const make: Maker = MAKERS[family];
  const gather = async (indices: Uint32Array) => {
    const randoms = Array.from(indices, (k) => streams.derive(k));
    const pairs = Uint32Array.from(
      randoms.flatMap((random) => {
        // Two sources of one image differ.
        const first = random.int(available);
        return [first, (first + 1 + random.int(available - 1)) % available];
      }),
    );
    const sources = await gatherImages(inDistribution, pairs);
    const made = new Uint8Array(indices.length * bytes);
    randoms.forEach((random, row) => {
      let next = row * 2 * bytes;
      const source = () => {
        next += bytes;
        return sources.subarray(next - bytes, next);
      };
      made.set(make(random, { height, width }, source), row * bytes);
    });
    return made;
  };
  return readByNumber({ name: family, count, height, width }, gather);
}

/** The mean of channel `c` over a rectangle, in fractions of the sides; pixels that are cut count by their share. */
function boxMean(
  image: Uint8Array,
  { height, width }: Size,
  c: number,
  [top, bottom]: readonly [number, number],
  [left, right]: readonly [number, number],
): number {
  let sum = 0;
  let area = 0;
  for (let y = Math.floor(top * height); y < bottom * height; y++) {
    const tall = Math.min(y + 1, bottom * height) - Math.max(y, top * height);
    for (let x = Math.floor(left * width); x < right * width; x++) {
      const share = tall * (Math.min(x + 1, right * width) - Math.max(x, left * width));
      sum += share * image[(y * width + x) * 3 + c]!;
      area += share;
    }
  }
  return sum / area;
}
