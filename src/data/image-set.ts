import { DataError } from '../errors.js';
import type { NdArray } from '../formats/array.js';
import { type CifarImages, readCifar, readCifarArchive, type Split } from '../formats/cifar.js';
import { readNpz } from '../formats/npz.js';

/** Images of 32 x 32 RGB pixels, with a label for each where they have any. */
export interface ImageSet {
  /** What to call it in tables. */
  readonly name: string;
  /** The file or folder it was read from, for messages. */
  readonly source?: string;
  /** `count` x `height` x `width` x 3, RGB, 0 to 255. */
  readonly images: Uint8Array;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  /** Class numbers from 0, one an image. */
  readonly labels?: Int32Array;
  readonly classNames?: readonly string[];
}

const SIZE = 32;
const IMAGE_BYTES = SIZE * SIZE * 3;

/**
 * An image set from a .npz file with `images` (uint8, N x 32 x 32 x 3) and, where there are any, `labels` (integers, N). The
 * images may share the memory of `bytes`.
 * @throws {DataError} if the file is damaged, or an array is missing or of a wrong type, shape or range.
 */
export function imageSetFromNpz(bytes: Uint8Array, fileName: string): ImageSet {
  const npz = readNpz(bytes, fileName);
  const images = npz.get('images');
  checkImages(images, fileName);
  const labels = npz.has('labels') ? { labels: labelsOf(npz.get('labels'), images.shape[0], fileName) } : {};
  return imageSet(baseName(fileName), fileName, { images: images.data as Uint8Array, ...labels });
}

/**
 * A split of CIFAR-10 or CIFAR-100, from the files of the binary version by base name, or from its .tar.gz.
 * @throws {DataError} if the split is not there, or damaged.
 */
export function imageSetFromCifar(
  source: ReadonlyMap<string, Uint8Array> | Uint8Array,
  split: Split,
  fileName: string,
): ImageSet {
  const read =
    source instanceof Uint8Array ? readCifarArchive(source, split, fileName) : readCifar(source, split, fileName);
  return imageSet(`${baseName(fileName)}-${split}`, fileName, read);
}

/**
 * The labels of a set that must have them, for a network of `classes` classes.
 * @throws {DataError} if the set has none, or one is out of range (naming which), or its classes are not as many.
 */
export function requireLabels(set: ImageSet, classes: number): Int32Array {
  const { labels, classNames } = set;
  if (classNames && classNames.length !== classes) {
    throw new DataError(
      `${sourceOf(set)} has ${classNames.length} classes, but the network has ${classes}; give the data set that the network was made for`,
    );
  }
  if (!labels)
    throw new DataError(`${sourceOf(set)} has no labels; add an integer array 'labels' with one number an image`);
  const index = labels.findIndex((label) => label >= classes);
  if (index >= 0) {
    throw new DataError(
      `${sourceOf(set)}: label ${index} is ${labels[index]}, but the network has ${classes} classes (0 to ${classes - 1}); ` +
        'give the data set that the network was made for',
    );
  }
  return labels;
}

/** What to call a set in messages. */
export const sourceOf = ({ source, name }: ImageSet): string => source ?? name;

/**
 * `count` images from image `start` on, without a copy.
 * @throws {DataError} if the set has no such images.
 */
export function subset(set: ImageSet, start: number, count: number): ImageSet {
  const end = start + count;
  if (!Number.isInteger(start) || !Number.isInteger(count) || start < 0 || count < 1 || end > set.count) {
    throw new DataError(`${set.name} has ${set.count} images; ${count} from image ${start} on cannot be taken`);
  }
  const imageBytes = set.height * set.width * 3;
  return {
    ...set,
    images: set.images.subarray(start * imageBytes, end * imageBytes),
    count,
    ...(set.labels && { labels: set.labels.subarray(start, end) }),
  };
}

function imageSet(
  name: string,
  source: string,
  contents: Omit<CifarImages, 'labels'> & Pick<ImageSet, 'labels'>,
): ImageSet {
  return { name, source, count: contents.images.length / IMAGE_BYTES, height: SIZE, width: SIZE, ...contents };
}

function checkImages({ dtype, shape }: NdArray, fileName: string): void {
  const wanted = `images must be uint8 N x ${SIZE} x ${SIZE} x 3`;
  const found = `${fileName}: ${wanted}, but are ${dtype} ${shape.join(' x ') || 'of no axes'}`;
  if (dtype !== 'uint8') throw new DataError(`${found}; save them as bytes of 0 to 255, with .astype('uint8')`);
  const [count, ...image] = shape;
  if (image.join() === `3,${SIZE},${SIZE}`) throw new DataError(`${found}; save images.transpose(0, 2, 3, 1)`);
  if (image.join() !== `${SIZE},${SIZE},3`) throw new DataError(`${found}; resize them or convert them to RGB`);
  if (count === 0) throw new DataError(`${fileName}: images holds no image; save at least one`);
}

function labelsOf({ dtype, shape, data }: NdArray, count: number, fileName: string): Int32Array {
  if (!/^u?int/.test(dtype)) {
    throw new DataError(`${fileName}: labels must be integers, but are ${dtype}; save labels.astype('int64')`);
  }
  if (shape.length !== 1 || shape[0] !== count) {
    throw new DataError(
      `${fileName}: labels must be one an image, ${count}, but are ${shape.join(' x ') || 'of no axes'}; save one for each`,
    );
  }
  for (let i = 0; i < count; i++) {
    if (data[i] < 0 || data[i] >= 2 ** 31) {
      throw new DataError(`${fileName}: label ${i} is ${data[i]}; number the classes from 0`);
    }
  }
  return Int32Array.from(data as Int32Array, Number);
}

function baseName(fileName: string): string {
  return fileName
    .replace(/[/\\]+$/, '')
    .replace(/^.*[/\\]/, '')
    .replace(/\.(npz|tar\.gz|tgz)$/, '');
}
