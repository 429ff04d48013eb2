import { DataError } from '../errors.js';
import { quote } from './array.js';
import { gunzip } from './inflate.js';
import { readTar } from './tar.js';

export type Split = 'train' | 'test';

/** One split of CIFAR: images N x 32 x 32 x 3 (uint8, RGB), a label for each, and the names of the classes if given. */
export interface CifarImages {
  readonly images: Uint8Array;
  readonly labels: Int32Array;
  readonly classNames?: readonly string[];
}

interface Variant {
  readonly files: Readonly<Record<Split, readonly string[]>>;
  readonly classNameFile: string;
  readonly classes: number;
  /** Bytes before the pixels of a record; the last of them is the label (CIFAR-100: coarse, then fine). */
  readonly labelBytes: number;
}

const cifar10: Variant = {
  files: {
    train: [1, 2, 3, 4, 5].map((batch) => `data_batch_${batch}.bin`),
    test: ['test_batch.bin'],
  },
  classNameFile: 'batches.meta.txt',
  classes: 10,
  labelBytes: 1,
};

const cifar100: Variant = {
  files: { train: ['train.bin'], test: ['test.bin'] },
  classNameFile: 'fine_label_names.txt',
  classes: 100,
  labelBytes: 2,
};

/** Every file that the binary versions may hold. */
export const cifarFileNames: readonly string[] = [cifar10, cifar100].flatMap(({ files, classNameFile }) => [
  ...files.train,
  ...files.test,
  classNameFile,
]);

const PIXELS = 32 * 32;

/**
 * The "binary version" of CIFAR-10 or CIFAR-100 (the latter with its fine labels), from its files by base name.
 * @throws {DataError} if a file of the split is missing or of a wrong size, or a label is out of range.
 */
export function readCifar(files: ReadonlyMap<string, Uint8Array>, split: Split, source: string): CifarImages {
  const variant = [cifar10, cifar100].find(({ files: names }) => names[split].some((name) => files.has(name)));
  if (!variant) {
    throw new DataError(
      `${source} holds no ${split} split of CIFAR's binary version (${cifar10.files[split][0]} or ` +
        `${cifar100.files[split][0]}); take the archive named "binary version"`,
    );
  }
  const { classes, labelBytes, classNameFile } = variant;
  const recordSize = labelBytes + 3 * PIXELS;
  const batches = variant.files[split].map((name) => {
    const batch = files.get(name);
    if (!batch) throw new DataError(`${source} lacks ${name}; unpack or download the archive again`);
    if (batch.length === 0 || batch.length % recordSize) {
      throw new DataError(
        `${source}: ${name} has ${batch.length} bytes, not a multiple of ${recordSize}; download the archive again`,
      );
    }
    return { name, batch };
  });

  const count = batches.reduce((sum, { batch }) => sum + batch.length / recordSize, 0);
  const images = new Uint8Array(count * 3 * PIXELS);
  const labels = new Int32Array(count);
  let image = 0;
  for (const { name, batch } of batches) {
    for (let at = 0; at < batch.length; at += recordSize) {
      const label = batch[at + labelBytes - 1];
      if (label >= classes) {
        throw new DataError(
          `${source}: ${name} has label ${label} of ${classes} classes; it is damaged or no CIFAR file`,
        );
      }
      labels[image] = label;
      interleave(batch.subarray(at + labelBytes, at + recordSize), images, image * 3 * PIXELS);
      image++;
    }
  }
  const classNames = files.get(classNameFile);
  return { images, labels, ...(classNames && { classNames: lines(classNames) }) };
}

/** The same from a .tar.gz. @throws {DataError} as {@link readCifar}, or if the archive is damaged. */
export function readCifarArchive(bytes: Uint8Array, split: Split, fileName: string): CifarImages {
  const files = new Map<string, Uint8Array>();
  for (const [path, data] of readTar(gunzip(bytes, fileName), fileName)) files.set(path.split('/').at(-1)!, data);
  return readCifar(files, split, fileName);
}

/** Three planes (red, green, blue) to pixels. */
function interleave(planes: Uint8Array, out: Uint8Array, offset: number): void {
  for (let pixel = 0; pixel < PIXELS; pixel++) {
    for (let channel = 0; channel < 3; channel++) out[offset + 3 * pixel + channel] = planes[channel * PIXELS + pixel];
  }
}

function lines(bytes: Uint8Array): string[] {
  return new TextDecoder().decode(bytes).split(/\r?\n/).filter(Boolean).map(quote);
}
