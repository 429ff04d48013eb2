import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type ImageSource,
  type Images,
  imageSetFromCifar,
  imageSetFromMat,
  imageSetFromNpz,
  imageSourceFromNpy,
  loadImages,
} from '../data/image-set.js';
import { DataError } from '../errors.js';
import { cifarFileNames, looksLikeCifar, type Split } from '../formats/cifar.js';
import { looksLikeMat } from '../formats/mat.js';
import { looksLikeNpy, MAX_NPY_HEADER, type NpyHeader, readNpyHeader } from '../formats/npy.js';
import { looksLikeTar, TAR_BLOCK } from '../formats/tar.js';
import { looksLikeZip } from '../formats/zip.js';
import { readArchive } from './archive.js';
import { readFileBytes, readRanges, reason, usingFile } from './files.js';
import { openMat } from './mat.js';
import { openNpz } from './npz.js';
import { imagesFromPictures, PictureCollector } from './picture-set.js';
import { isFolder, isPictureName, listPictures, PICTURE_EXTENSIONS } from './pictures.js';

/** What commands that take images say in their help. */
export const IMAGE_FORMATS =
  '.npz, .npy, SVHN .mat, CIFAR (.tar.gz or folder, binary or python), or pictures (folder, .tar, .tar.gz)';

/** Which images of CIFAR an option takes, for its help text. */
export const CIFAR_PART = { train: 'of CIFAR, the training images', test: 'of CIFAR, the test images' };

/** Images that are taken into memory: 201 MB. A larger set is read as its images are needed. */
const IN_MEMORY = 65_536;

/**
 * The images of a .npz or .mat of more than `inMemory`, to be read in pieces; undefined for any other file.
 * @param start of {@link readStart}
 * @throws {DataError} if the file is damaged
 */
export async function openPacked(
  path: string,
  start: Uint8Array,
  inMemory: number = IN_MEMORY,
): Promise<ImageSource | undefined> {
  if (looksLikeZip(start)) return openNpz(path, inMemory);
  return looksLikeMat(start) ? openMat(path, inMemory) : undefined;
}

/**
 * An image set, by its content: .npz (`images`, and `labels` where there are any), .npy, SVHN's .mat, CIFAR-10 or CIFAR-100 in
 * the binary or the python version (a folder, or a .tar.gz), or pictures (one, a folder, or a .tar or .tar.gz of them; see
 * {@link imagesFromPictures}).
 * @param options.split of CIFAR alone
 * @param options.inMemory images that are taken into memory (default 65,536: 201 MB; CIFAR's always). Those of a larger set are
 * read as they are needed; what is compressed is unpacked into a temporary file first, and pictures, made small, stay in one
 * @throws {DataError} if it cannot be read, or is not such a set.
 */
export async function readImageSet(
  path: string,
  { split = 'train', inMemory = IN_MEMORY }: { split?: Split; inMemory?: number } = {},
): Promise<Images> {
  const info = await stat(path).catch(() => undefined);
  if (info?.isDirectory()) return readFolder(path, split, inMemory);
  const start = await readStart(path);
  if (looksLikeNpy(start)) {
    const source = await openNpy(path);
    return source.count <= inMemory ? loadImages(source) : source;
  }
  const packed = await openPacked(path, start, inMemory);
  if (packed) return packed;
  if (looksLikeZip(start)) return imageSetFromNpz(await readFileBytes(path), path);
  if (looksLikeMat(start)) return imageSetFromMat(await readFileBytes(path), path);
  if ((start[0] === 0x1f && start[1] === 0x8b) || looksLikeTar(start)) return readImageArchive(path, split, inMemory);
  if (isPictureName(path)) return imagesFromPictures([path], path, inMemory);
  throw new DataError(`${path} is not an image set; give ${IMAGE_FORMATS}`);
}

/** The first block of a file: enough to recognise it. */
export async function readStart(path: string): Promise<Uint8Array> {
  return usingFile(path, async (file) => {
    const { buffer, bytesRead } = await file.read(new Uint8Array(TAR_BLOCK), 0, TAR_BLOCK, 0);
    return buffer.subarray(0, bytesRead);
  });
}

/** What a .npy file holds, without reading it. @throws {DataError} if it is no whole .npy file. */
export async function readNpyFileHeader(path: string): Promise<NpyHeader> {
  return usingFile(path, async (file) => {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(new Uint8Array(MAX_NPY_HEADER), 0, MAX_NPY_HEADER, 0);
    return readNpyHeader(buffer.subarray(0, bytesRead), size, path);
  });
}

/** Images of a .npy file, read from it when they are asked for. */
async function openNpy(path: string): Promise<ImageSource> {
  const header = await readNpyFileHeader(path);
  return imageSourceFromNpy(header, (offsets, length) => readRanges(path, offsets, length), path);
}

/** The names of CIFAR's files that a folder has. @throws {DataError} if it cannot be read. */
export async function cifarFilesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error) => {
    throw new DataError(`cannot read ${folder}: ${reason(error)}`, { cause: error });
  });
  const names: string[] = [];
  for (const entry of entries) {
    // A subfolder may be called so.
    if (!cifarFileNames.includes(entry.name) || (await isFolder(entry, join(folder, entry.name)))) continue;
    names.push(entry.name);
  }
  return names;
}

async function readFolder(path: string, split: Split, inMemory: number): Promise<Images> {
  const names = await cifarFilesIn(path);
  if (!looksLikeCifar(names)) return imagesFromPictures(await listPictures(path), path, inMemory);
  const files = new Map<string, Uint8Array>();
  for (const name of names) files.set(name, await readFileBytes(join(path, name)));
  return imageSetFromCifar(files, split, path);
}

/** CIFAR's files, or pictures: whichever the archive turns out to hold. */
async function readImageArchive(path: string, split: Split, inMemory: number): Promise<Images> {
  const cifar = new Map<string, Uint8Array>();
  const pictures = new PictureCollector(path, inMemory);
  const baseName = (name: string) => name.split('/').at(-1)!;
  // macOS puts a file of attributes beside each, named ._PICTURE.
  const wanted = (name: string) =>
    cifarFileNames.includes(baseName(name)) || (isPictureName(name) && !baseName(name).startsWith('.'));
  for await (const { path: name, data } of readArchive(path, wanted)) {
    if (isPictureName(name)) await pictures.add(name, data);
    else cifar.set(baseName(name), data);
  }
  if (pictures.count === 0 && cifar.size === 0) {
    throw new DataError(`${path} holds neither CIFAR nor pictures: ${PICTURE_EXTENSIONS.join(', ')} are read`);
  }
  if (pictures.count === 0 || looksLikeCifar(cifar.keys())) return imageSetFromCifar(cifar, split, path);
  return pictures.finish();
}
