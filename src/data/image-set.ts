import { DataError } from '../errors.js';
import type { NdArray } from '../formats/array.js';
import { type CifarImages, readCifar, readCifarArchive, type Split } from '../formats/cifar.js';
import { readMat } from '../formats/mat.js';
import type { NpyHeader } from '../formats/npy.js';
import { readNpz } from '../formats/npz.js';

/** What is known of images wherever their pixels are: of 32 x 32 RGB pixels, with a label for each where they have any. */
export interface ImageProperties {
  /** What to call it in tables. */
  readonly name: string;
  /** The file or folder it was read from, for messages. */
  readonly source?: string;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  /** Class numbers from 0, one an image. */
  readonly labels?: Int32Array;
  readonly classNames?: readonly string[];
}

/** Images in memory. */
export interface ImageSet extends ImageProperties {
  /** `count` x `height` x `width` x 3, RGB, 0 to 255. */
  readonly images: Uint8Array;
}

/** Images that may be more than memory holds, and are read as they are needed. */
export interface ImageSource extends ImageProperties {
  /**
   * The bytes of `count` images from image `start` on, as in {@link ImageSet}; the caller may keep them, but not change them.
   * @throws {DataError} if they cannot be read.
   */
  read(start: number, count: number): Promise<Uint8Array>;
  /** The same of images by number, in the order given. */
  gather(indices: Uint32Array): Promise<Uint8Array>;
}

export type Images = ImageSet | ImageSource;

/** Whether the images are in memory. */
export const isInMemory = (images: Images): images is ImageSet => 'images' in images;

/**
 * The bytes of `count` images from image `start` on; without a copy where they are in memory.
 * @throws {DataError} if they cannot be read, or the set has not the bytes that its count and size take.
 */
export async function readImages(images: Images, start: number, count: number): Promise<Uint8Array> {
  if (!isInMemory(images)) return whole(images, count, await images.read(start, count));
  const bytes = images.height * images.width * 3;
  return whole(images, images.count, images.images).subarray(start * bytes, (start + count) * bytes);
}

/** The bytes of images by number, in the order given. @throws {DataError} as {@link readImages} does. */
export async function gatherImages(images: Images, indices: Uint32Array): Promise<Uint8Array> {
  if (!isInMemory(images)) return whole(images, indices.length, await images.gather(indices));
  return rowsOf(whole(images, images.count, images.images), indices, images.height * images.width * 3);
}

/** The bytes of `count` images. @throws {DataError} where they are fewer or more */
function whole(set: ImageProperties, count: number, bytes: Uint8Array): Uint8Array {
  const { height, width } = set;
  if (bytes.length !== count * height * width * 3) {
    throw new DataError(
      `${sourceOf(set)} gives ${bytes.length} bytes for ${count} images of ${height} x ${width} RGB pixels, which take ${count * height * width * 3}`,
    );
  }
  return bytes;
}

/** All of it in memory. @throws {DataError} if it cannot be read. */
export async function loadImages(images: Images): Promise<ImageSet> {
  if (isInMemory(images)) return images;
  const { read: _, gather: __, ...properties } = images;
  return { ...properties, images: await readImages(images, 0, images.count) };
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
 * A split of CIFAR-10 or CIFAR-100, from the files of its binary or python version by base name, or from its .tar.gz.
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
 * SVHN's "cropped digits" (.mat): `X` (uint8, 32 x 32 x 3 x N) and, where there are any, `y` (N, digit 0 numbered 10).
 * @throws {DataError} if the file is damaged, or an array is missing or of a wrong type, shape or range.
 */
export function imageSetFromMat(bytes: Uint8Array, fileName: string): ImageSet {
  const arrays = readMat(bytes, fileName);
  const pixels = arrays.get('X');
  const [height, width, channels, count = 1] = pixels?.shape ?? [];
  if (pixels?.dtype !== 'uint8' || height !== SIZE || width !== SIZE || channels !== 3 || count === 0) {
    const found = pixels ? `is ${pixels.dtype} ${pixels.shape.join(' x ')}` : 'is missing';
    throw new DataError(`${fileName}: X must be uint8 ${SIZE} x ${SIZE} x 3 x N, but ${found}; take SVHN's format 2`);
  }
  return imageSet(baseName(fileName), fileName, {
    images: columnMajorToPixels(pixels.data as Uint8Array, count),
    ...digitsOf(arrays.get('y'), count, fileName),
  });
}

function digitsOf(y: NdArray | undefined, count: number, fileName: string): Pick<ImageSet, 'labels' | 'classNames'> {
  if (!y) return {};
  const labels = digits(labelsOf(integers({ ...y, shape: [y.data.length] }), count, fileName), fileName);
  return { labels, classNames: Array.from({ length: 10 }, (_, digit) => String(digit)) };
}

/** SVHN numbers the digits from 1 to 10, which is 0. */
function digits(labels: Int32Array, fileName: string): Int32Array {
  const index = labels.findIndex((label) => label > 10);
  if (index >= 0)
    throw new DataError(`${fileName}: y ${index} is ${labels[index]}, but digits go to 10; take SVHN's file`);
  return labels.map((label) => label % 10);
}

/** MATLAB's numbers are doubles unless said otherwise. */
function integers(array: NdArray): NdArray {
  if (array.dtype !== 'float64' || !array.data.every((value: number | bigint) => Number.isSafeInteger(value)))
    return array;
  return { ...array, dtype: 'int32', data: Int32Array.from(array.data as Float64Array) };
}

/** In MATLAB's order the row of a pixel varies fastest, then its column, then the channel. */
function columnMajorToPixels(planes: Uint8Array, count: number): Uint8Array {
  const images = new Uint8Array(planes.length);
  const area = SIZE * SIZE;
  for (let image = 0; image < count; image++) {
    const from = image * IMAGE_BYTES;
    for (let i = 0; i < area; i++) {
      const to = from + ((i % SIZE) * SIZE + Math.floor(i / SIZE)) * 3;
      for (let channel = 0; channel < 3; channel++) images[to + channel] = planes[from + channel * area + i]!;
    }
  }
  return images;
}

/** Ranges of a file, read one by one and put one after the other. */
export type ReadRanges = (offsets: readonly number[], length: number) => Promise<Uint8Array>;

/**
 * Images in a .npy file (uint8, N x 32 x 32 x 3), read from it as they are needed.
 * @param header of the file
 * @param read gives `length` bytes from each offset
 * @throws {DataError} if the array is of a wrong type or shape.
 */
export function imageSourceFromNpy(
  { dtype, shape, fortran, dataOffset }: NpyHeader,
  read: ReadRanges,
  fileName: string,
  labels?: NdArray,
): ImageSource {
  checkImages({ dtype, shape }, fileName);
  if (fortran) throw new DataError(`${fileName} is in Fortran order; save numpy.ascontiguousarray(images)`);
  const offsetOf = (image: number) => dataOffset + image * IMAGE_BYTES;
  return {
    name: baseName(fileName),
    source: fileName,
    count: shape[0]!,
    height: SIZE,
    width: SIZE,
    read: (start, count) => read([offsetOf(start)], count * IMAGE_BYTES),
    gather: (indices) => read(Array.from(indices, offsetOf), IMAGE_BYTES),
    ...(labels && { labels: labelsOf(labels, shape[0]!, fileName) }),
  };
}

/** SVHN's `X` in a file, read as {@link imageSourceFromNpy} reads; of its pixels, each piece is put into rows. */
export function imageSourceFromMat(
  X: Pick<NpyHeader, 'dtype' | 'shape' | 'dataOffset'>,
  y: NdArray | undefined,
  read: ReadRanges,
  fileName: string,
): ImageSource {
  const [, , , count = 1] = X.shape;
  const pixels: ReadRanges = async (offsets, length) => {
    const planes = await read(offsets, length);
    return columnMajorToPixels(planes, planes.length / IMAGE_BYTES);
  };
  const header = { dtype: X.dtype, shape: [count, SIZE, SIZE, 3], fortran: false, dataOffset: X.dataOffset };
  return { ...imageSourceFromNpy(header, pixels, fileName), ...digitsOf(y, count, fileName) };
}

/**
 * The labels of a set that must have them, for a network of `classes` classes.
 * @throws {DataError} if the set has none, or one is out of range (naming which), or its classes are not as many.
 */
export function requireLabels(set: ImageProperties, classes: number): Int32Array {
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
export const sourceOf = ({ source, name }: ImageProperties): string => source ?? name;

/**
 * The images that `indices` name, in that order, with their labels: copies where the set is in memory.
 * @throws {DataError} where its bytes are too few.
 */
export function pickImages(set: Images, indices: Uint32Array): Images {
  const { labels, height, width } = set;
  const properties = {
    count: indices.length,
    ...(labels && { labels: Int32Array.from(indices, (index) => labels[index]!) }),
  };
  if (isInMemory(set)) {
    const bytes = whole(set, set.count, set.images);
    return { ...set, ...properties, images: rowsOf(bytes, indices, height * width * 3) };
  }
  return readByNumber({ ...set, ...properties }, (rows) => set.gather(rows.map((row) => indices[row]!)));
}

/** Images that are read by number in runs, too. */
export function readByNumber(properties: ImageProperties, gather: ImageSource['gather']): ImageSource {
  const read = (start: number, count: number) => gather(Uint32Array.from({ length: count }, (_, i) => start + i));
  return { ...properties, read, gather };
}

function rowsOf(bytes: Uint8Array, indices: Uint32Array, size: number): Uint8Array {
  const rows = new Uint8Array(indices.length * size);
  indices.forEach((from, to) => {
    rows.set(bytes.subarray(from * size, (from + 1) * size), to * size);
  });
  return rows;
}

/**
 * `count` images from image `start` on, without a copy.
 * @throws {DataError} if the set has no such images.
 */
export function subset<T extends Images>(set: T, start: number, count: number): T {
  const end = start + count;
  if (!Number.isInteger(start) || !Number.isInteger(count) || start < 0 || count < 1 || end > set.count) {
    throw new DataError(`${set.name} has ${set.count} images; ${count} from image ${start} on cannot be taken`);
  }
  const labels = set.labels && { labels: set.labels.subarray(start, end) };
  const imageBytes = set.height * set.width * 3;
  const pixels = isInMemory(set)
    ? { images: set.images.subarray(start * imageBytes, end * imageBytes) }
    : {
        read: (from: number, images: number) => set.read(start + from, images),
        gather: (indices: Uint32Array) => set.gather(indices.map((index) => start + index)),
      };
  return { ...set, ...pixels, count, ...labels };
}

/** A set cut into parts of at most `size` images, without a copy; itself where it is no larger. */
export function piecesOf<T extends Images>(set: T, size: number): T[] {
  if (set.count <= size) return [set];
  return Array.from({ length: Math.ceil(set.count / size) }, (_, i) =>
    subset(set, i * size, Math.min(size, set.count - i * size)),
  );
}

function imageSet(
  name: string,
  source: string,
  contents: Omit<CifarImages, 'labels'> & Pick<ImageSet, 'labels'>,
): ImageSet {
  return { name, source, count: contents.images.length / IMAGE_BYTES, height: SIZE, width: SIZE, ...contents };
}

function checkImages({ dtype, shape }: Pick<NdArray, 'dtype' | 'shape'>, fileName: string): void {
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
    .replace(/\.(npz|npy|mat|tar\.gz|tgz|tar)$/, '');
}
