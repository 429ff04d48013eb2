import { DataError } from '../errors.js';
import { quote } from './array.js';
import { readCifarPickle, readClassNames } from './cifar-pickle.js';
import { gunzip } from './inflate.js';
import { readTar } from './tar.js';

export type Split = 'train' | 'test';

/** One split of CIFAR: images N x 32 x 32 x 3 (uint8, RGB), a label for each, and the names of the classes if given. */
export interface CifarImages {
  readonly images: Uint8Array;
  readonly labels: Int32Array;
  readonly classNames?: readonly string[];
}

/** The records of one file: `count` of them, with a label and 3 x 32 x 32 bytes (planes of red, green, blue) each. */
export interface CifarBatch {
  readonly count: number;
  label(record: number): number;
  planes(record: number): Uint8Array;
}

interface Variant {
  readonly files: Readonly<Record<Split, readonly string[]>>;
  readonly classNameFile: string;
  readonly classes: number;
  /** @param what begins the messages */
  readBatch(bytes: Uint8Array, what: string): CifarBatch;
  readClassNames(bytes: Uint8Array, what: string): readonly string[];
}

const batches = (extension: string) => ({
  train: [1, 2, 3, 4, 5].map((batch) => `data_batch_${batch}${extension}`),
  test: [`test_batch${extension}`],
});

const VARIANTS: readonly Variant[] = [
  {
    files: batches('.bin'),
    classNameFile: 'batches.meta.txt',
    classes: 10,
    readBatch: (bytes, what) => readBinary(bytes, 1, what),
    readClassNames: lines,
  },
  {
    files: { train: ['train.bin'], test: ['test.bin'] },
    classNameFile: 'fine_label_names.txt',
    classes: 100,
    // Coarse, then fine.
    readBatch: (bytes, what) => readBinary(bytes, 2, what),
    readClassNames: lines,
  },
  {
    files: batches(''),
    classNameFile: 'batches.meta',
    classes: 10,
    readBatch: (bytes, what) => readCifarPickle(bytes, 'labels', what),
    readClassNames: (bytes, what) => readClassNames(bytes, 'label_names', what),
  },
  {
    files: { train: ['train'], test: ['test'] },
    classNameFile: 'meta',
    classes: 100,
    readBatch: (bytes, what) => readCifarPickle(bytes, 'fine_labels', what),
    readClassNames: (bytes, what) => readClassNames(bytes, 'fine_label_names', what),
  },
];

/** Every file that the binary and the python versions may hold. */
export const cifarFileNames: readonly string[] = VARIANTS.flatMap(({ files, classNameFile }) => [
  ...files.train,
  ...files.test,
  classNameFile,
]);

const PIXELS = 32 * 32;

/** Whether files of these names are a CIFAR data set, of whatever version. */
export function looksLikeCifar(names: Iterable<string>): boolean {
  const present = new Set(names);
  return VARIANTS.some(({ files }) => [...files.train, ...files.test].some((name) => present.has(name)));
}

/**
 * The binary or the python version of CIFAR-10 or CIFAR-100 (the latter with its fine labels), from its files by base name.
 * @throws {DataError} if a file of the split is missing, damaged or of a wrong size, or a label is out of range.
 */
export function readCifar(files: ReadonlyMap<string, Uint8Array>, split: Split, source: string): CifarImages {
  const variant = VARIANTS.find(({ files: names }) => names[split].some((name) => files.has(name)));
  if (!variant) {
    const wanted = VARIANTS.map(({ files: names }) => names[split][0]).join(', ');
    throw new DataError(`${source} holds no ${split} split of CIFAR (none of ${wanted}); take the whole archive`);
  }
  const { classes, classNameFile } = variant;
  const read = variant.files[split].map((name) => {
    const bytes = files.get(name);
    if (!bytes) throw new DataError(`${source} lacks ${name}; unpack or download the archive again`);
    return { name, batch: variant.readBatch(bytes, `${source}: ${name}`) };
  });

  const count = read.reduce((sum, { batch }) => sum + batch.count, 0);
  const images = new Uint8Array(count * 3 * PIXELS);
  const labels = new Int32Array(count);
  let image = 0;
  for (const { name, batch } of read) {
    for (let record = 0; record < batch.count; record++) {
      const label = batch.label(record);
      if (!(Number.isInteger(label) && label >= 0 && label < classes)) {
        throw new DataError(
          `${source}: ${name} has label ${label} of ${classes} classes; it is damaged or no CIFAR file`,
        );
      }
      labels[image] = label;
      interleave(batch.planes(record), images, image * 3 * PIXELS);
      image++;
    }
  }
  const names = files.get(classNameFile);
  return {
    images,
    labels,
    ...(names && { classNames: variant.readClassNames(names, `${source}: ${classNameFile}`) }),
  };
}

/** The same from a .tar.gz. @throws {DataError} as {@link readCifar}, or if the archive is damaged. */
export function readCifarArchive(bytes: Uint8Array, split: Split, fileName: string): CifarImages {
  const files = new Map<string, Uint8Array>();
  for (const [path, data] of readTar(gunzip(bytes, fileName), fileName)) files.set(path.split('/').at(-1)!, data);
  return readCifar(files, split, fileName);
}

/** Records of a few bytes, of which the last is the label, and the planes. */
function readBinary(bytes: Uint8Array, labelBytes: number, what: string): CifarBatch {
  const size = labelBytes + 3 * PIXELS;
  if (bytes.length === 0 || bytes.length % size) {
    throw new DataError(`${what} has ${bytes.length} bytes, not a multiple of ${size}; download the archive again`);
  }
  return {
    count: bytes.length / size,
    label: (record) => bytes[record * size + labelBytes - 1]!,
    planes: (record) => bytes.subarray(record * size + labelBytes, (record + 1) * size),
  };
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
