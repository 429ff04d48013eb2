import { stat } from 'node:fs/promises';
import { type Images, isInMemory, readImages } from '../data/image-set.js';
import { DataError } from '../errors.js';
import type { NdArray } from '../formats/array.js';
import type { Split } from '../formats/cifar.js';
import { looksLikeMat, readMat } from '../formats/mat.js';
import { looksLikeNpy } from '../formats/npy.js';
import { readNpz } from '../formats/npz.js';
import { readSafetensors } from '../formats/safetensors.js';
import { readStateDict, type StateDict } from '../formats/state-dict.js';
import { looksLikeTar } from '../formats/tar.js';
import { looksLikeTorch } from '../formats/torch.js';
import { looksLikeZip } from '../formats/zip.js';
import { decodeGate } from '../gate/gate-file.js';
import { decodeCheckpoint } from '../nn/checkpoint.js';
import { parameterCount } from '../nn/network.js';
import { decodeNetwork } from '../nn/network-file.js';
import { formatPercent } from '../ood/calibrator.js';
import { readFileBytes } from './files.js';
import { openPacked, readImageSet, readNpyFileHeader, readStart } from './images.js';

/** What a file or folder holds, line by line: the first value is its heading. */
export type Description = Readonly<Record<string, unknown>> & { readonly what: string };

/**
 * Find out what a file or folder holds: images, weights, a gate, a fit, a checkpoint, or arrays.
 * @throws {DataError} if it cannot be read, or is nothing that energate reads.
 */
export async function describeFile(path: string): Promise<Description> {
  const info = await stat(path).catch(() => undefined);
  if (info?.isFile()) {
    const start = await readStart(path);
    const packed = await openPacked(path, start);
    if (packed) return describeImages(packed, formatOf(start), path);
    const other = await describeOther(path, start);
    if (other) return other;
  }
  const split = (name: Split): Promise<Images | Error> =>
    readImageSet(path, { split: name }).catch((error) => error as Error);
  const train = await split('train');
  const format = info?.isDirectory() ? 'folder' : formatOf(await readStart(path));
  // Only CIFAR has two: of others, which may be large, the first reading told all.
  if (!(train instanceof Error || train.name.endsWith('-train'))) return describeImages(train, format, path);
  const test = await split('test');
  if (test instanceof Error) {
    if (train instanceof Error) throw train;
    return describeImages(train, format, path);
  }
  if (train instanceof Error || train.name === test.name) return describeImages(test, format, path);
  const { labels: _, ...description } = await describeImages(train, `CIFAR, ${format}`, path);
  const what = `${path}: ${train.count} training and ${test.count} test images`;
  return { ...description, what, images: { train: train.count, test: test.count } };
}

function formatOf(start: Uint8Array): string {
  if (looksLikeNpy(start)) return 'NumPy .npy';
  if (looksLikeMat(start)) return 'MATLAB .mat';
  if (looksLikeZip(start)) return 'NumPy .npz';
  return looksLikeTar(start) || start[0] === 0x1f ? 'archive' : 'picture';
}

async function describeImages(set: Images, format: string, path: string): Promise<Description> {
  const { count, height, width, labels, classNames } = set;
  const counts = new Map<number, number>();
  for (const label of labels ?? []) counts.set(label, (counts.get(label) ?? 0) + 1);
  const sorted = [...counts].sort(([a], [b]) => a - b);
  const classes = classNames?.length ?? (labels ? Math.max(...counts.keys()) + 1 : 0);
  const megabytes = (count * height * width * 3) / 1e6;
  const grey = isGrey(await readImages(set, 0, Math.min(count, 100)));
  return {
    what: `${path}: ${count} images of ${width} x ${height}`,
    format,
    pixels: 'uint8 RGB',
    images: count,
    classes: labels ? classes : undefined,
    labels: labels
      ? Object.fromEntries(sorted.map(([label, images]) => [classNames?.[label] ?? String(label), images]))
      : 'none',
    note: grey ? 'the first images are grey' : undefined,
    memory: `${megabytes < 100 ? megabytes.toPrecision(3) : megabytes.toFixed(0)} MB${isInMemory(set) ? '' : ', read in pieces as they are needed'}`,
    usable_as: [
      ...(labels ? ['in-distribution images of train, finetune and evaluate (--data, --in)'] : []),
      'outliers (--outliers)',
      'images to score or to tell apart (--images, --ood)',
      ...(labels ? ['training images of any score (--fit)'] : ['training images of scores without labels (--fit)']),
    ],
  };
}

const isGrey = (pixels: Uint8Array): boolean => {
  for (let i = 0; i < pixels.length; i += 3) {
    if (pixels[i] !== pixels[i + 1] || pixels[i] !== pixels[i + 2]) return false;
  }
  return true;
};

/** What is no image set, by the beginning of the file. */
async function describeOther(path: string, start: Uint8Array): Promise<Description | undefined> {
  if (looksLikeNpy(start)) {
    const { dtype, shape } = await readNpyFileHeader(path);
    return shape.length === 4 ? undefined : describeArrays([['array', { dtype, shape }]], 'NumPy .npy', path);
  }
  if (looksLikeMat(start)) {
    const arrays = readMat(await readFileBytes(path), path);
    return arrays.has('X') ? undefined : describeArrays(arrays, 'MATLAB .mat', path);
  }
  if (!looksLikeTorch(start) && start[8] !== '{'.charCodeAt(0)) return undefined;
  const bytes = await readFileBytes(path);
  const npz = looksLikeZip(start) ? readNpz(bytes, path) : undefined;
  if (!npz?.names.length) return describeWeights(bytes, path);
  if (npz.has('images')) return undefined;
  return describeArrays(
    npz.names.map((name) => [name, npz.get(name)] as const),
    'NumPy .npz',
    path,
  );
}

/** Weights, or what is stored like them. */
function describeWeights(bytes: Uint8Array, path: string): Promise<Description> | Description {
  if (!looksLikeTorch(bytes)) {
    const { metadata, tensors } = readSafetensors(bytes, path);
    if (metadata.format === 'energate-gate') return describeGate(bytes, path);
    if (metadata.training !== undefined) return describeCheckpoint(bytes, path);
    if (metadata.format === 'energate-fit') {
      const { features, classes, scores } = metadata;
      return {
        what: `${path}: a fit of ${scores}`,
        format: 'safetensors',
        features,
        classes,
        tensors: tensors.size,
        usable_as: ['--fit of score, evaluate and calibrate, for a network of that size'],
      };
    }
  }
  return describeNetwork(readStateDict(bytes, path), path);
}

function describeNetwork(dict: StateDict, path: string): Description {
  const { tensors, format } = dict;
  const dtypes = [...new Set(Array.from(tensors.values(), ({ dtype }) => dtype))];
  const common = { format: format === 'torch' ? 'PyTorch' : 'safetensors', tensors: tensors.size, dtypes };
  try {
    const { config, normalization, classNames } = decodeNetwork(dict, path);
    const { mean, std } = normalization;
    return {
      what: `${path}: a WRN-${config.depth}-${config.width} of ${config.classes} classes, ${parameterCount(config)} parameters`,
      ...common,
      normalization:
        dict.metadata.normalization === undefined
          ? "the file says none; CIFAR's is taken unless --normalize says otherwise"
          : `mean ${mean.map(short).join(' ')}, std ${std.map(short).join(' ')}`,
      class_names: classNames,
      usable_as: ['--weights of every command'],
    };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return {
      what: `${path}: ${tensors.size} tensors, not a network that energate runs`,
      ...common,
      reason: error.message,
      largest: Array.from(tensors, ([name, { shape }]) => `${name} [${shape.join(', ')}]`).slice(0, 8),
    };
  }
}

const short = (value: number) => value.toPrecision(4);

async function describeGate(bytes: Uint8Array, path: string): Promise<Description> {
  const { network, score, accept, precision, calibration } = await decodeGate(bytes, path);
  const { depth, width, classes } = network.config;
  return {
    what: `${path}: a gate by ${score}, which accepts ${formatPercent(accept)} of in-distribution images`,
    format: 'safetensors',
    network: `WRN-${depth}-${width} of ${classes} classes, ${precision}`,
    calibrated_on: `${calibration.scores.length} images${calibration.labels ? ', each class by itself' : ''}`,
    class_names: network.classNames,
    usable_as: ['energate check, and Detector.load'],
  };
}

function describeCheckpoint(bytes: Uint8Array, path: string): Description {
  const { state, options } = decodeCheckpoint(bytes, path);
  const { depth, width, classes } = state.network.config;
  return {
    what: `${path}: a training run after step ${state.step} of ${options.steps}`,
    format: 'safetensors',
    network: `WRN-${depth}-${width} of ${classes} classes`,
    loss: options.regulariser?.kind ?? 'cross-entropy alone',
    usable_as: ['--resume of train and finetune (give its folder)', '--weights of every command'],
  };
}

function describeArrays(
  arrays: Iterable<readonly [string, Pick<NdArray, 'dtype' | 'shape'>]>,
  format: string,
  path: string,
): Description {
  return {
    what: `${path}: arrays, but no images`,
    format,
    arrays: Array.from(arrays, ([name, { dtype, shape }]) => `${name} ${dtype} [${shape.join(', ')}]`),
    usable_as: format === 'MATLAB .mat' ? [] : ['scores for energate metrics, if one number an image'],
  };
}
