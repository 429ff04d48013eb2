/**
 * The embedded image set: ten classes of shapes, auxiliary outliers and out-of-distribution families, generated from a seed,
 * so that training, fine-tuning and evaluation run with no download. Shape alone decides the class: place, size, aspect,
 * turn, colours, texture, clutter, shadow, occlusion, exposure, blur and noise are drawn alike for all.
 *
 * Image k of a set depends on the seed, the set and k only: a longer set begins with the shorter. The same seed gives the
 * same bytes on every machine.
 */
import { UsageError } from '../../errors.js';
import type { ImageSet } from '../image-set.js';
import { type Random, stream } from '../random.js';
import type { Canvas } from './canvas.js';
import { SIZE } from './fields.js';
import { OOD_PAINTERS } from './ood.js';
import { outlier } from './outliers.js';
import { scene } from './scene.js';
import { CLASSES } from './shapes.js';

/** The ten classes, in the order of their labels. */
export const CLASS_NAMES: readonly string[] = Object.keys(CLASSES);

const SPLITS = ['train', 'validation', 'test'] as const;
export type SyntheticSplit = (typeof SPLITS)[number];

export type OodFamily = keyof typeof OOD_PAINTERS;

/**
 * The families to test on; novel_shapes is near-OOD (drawn exactly as the classes are, but for the shape), the others are
 * far. What each shares with the classes and the outliers is said in ood.ts.
 */
export const OOD_FAMILIES = Object.keys(OOD_PAINTERS) as readonly OodFamily[];

/** At 3 KB an image, 3 GB. */
const MOST_IMAGES = 1_000_000;

/** Which images: any whole number as the seed, and how many (1 to 1,000,000). */
export interface SyntheticOptions {
  readonly seed: number;
  readonly count: number;
}

/**
 * Labelled images of the ten classes in random order; every ten, counted from the start, hold each class once.
 * @param options the seed, the count, and the split: the splits of one seed share no image.
 * @returns `count` x 32 x 32 x 3, with labels 0 to 9 and class names.
 * @throws {UsageError} if the seed, the count or the split cannot be.
 */
export function syntheticImages(options: SyntheticOptions & { readonly split: SyntheticSplit }): ImageSet {
  const { seed, count, split } = options;
  if (!SPLITS.includes(split)) throw new UsageError(`split ${split}: choose one of ${SPLITS.join(', ')}`);
  const shapes = Object.values(CLASSES);
  const orders = stream(seed, 'synthetic labels', split);
  const labelOf = (k: number) => {
    const ten = Math.floor(k / shapes.length);
    return orders.derive(ten).shuffle(shapes.length)[k % shapes.length];
  };
  const set = generate(`synthetic ${split}`, options, (random, k) => scene(random, shapes[labelOf(k)]));
  return { ...set, labels: Int32Array.from({ length: count }, (_, k) => labelOf(k)), classNames: CLASS_NAMES };
}

/**
 * Auxiliary outliers for fine-tuning: images whose subject is none of the classes, of eight kinds in random order.
 * @returns `count` x 32 x 32 x 3, without labels.
 * @throws {UsageError} if the seed or the count cannot be.
 */
export function syntheticOutliers(options: SyntheticOptions): ImageSet {
  return generate('synthetic outliers', options, outlier);
}

/**
 * Out-of-distribution images to test on, of one family.
 * @returns `count` x 32 x 32 x 3, without labels.
 * @throws {UsageError} if there is no such family, or the seed or the count cannot be.
 */
export function syntheticOod(family: OodFamily, options: SyntheticOptions): ImageSet {
  if (!OOD_FAMILIES.includes(family)) {
    throw new UsageError(`OOD family ${family}: choose one of ${OOD_FAMILIES.join(', ')}`);
  }
  return generate(family, options, OOD_PAINTERS[family]);
}

function generate(
  name: string,
  { seed, count }: SyntheticOptions,
  paint: (random: Random, k: number) => Canvas,
): ImageSet {
  if (!Number.isInteger(count) || count < 1 || count > MOST_IMAGES) {
    throw new UsageError(`${name}: ${count} images; the count must be a whole number from 1 to ${MOST_IMAGES}`);
  }
  const images = new Uint8Array(count * SIZE * SIZE * 3);
  const streams = stream(seed, name);
  for (let k = 0; k < count; k++) {
    const random = streams.derive(k);
    images.set(paint(random, k).photograph(random), k * SIZE * SIZE * 3);
  }
  return { name, images, count, height: SIZE, width: SIZE };
}
