import { stat } from 'node:fs/promises';
import { type ImageSource, imageSourceFromNpy } from '../data/image-set.js';
import { DataError } from '../errors.js';
import type { NdArray } from '../formats/array.js';
import { damaged } from '../formats/inflate.js';
import { MAX_NPY_HEADER, readNpy, readNpyHeader } from '../formats/npy.js';
import {
  findZipDirectory,
  isDeflated,
  readZipDirectory,
  ZIP_LOCAL_HEADER,
  ZIP_TAIL,
  type ZipEntry,
  zipDataOffset,
} from '../formats/zip.js';
import { readRanges } from './files.js';
import { headOf, type Member, openMember } from './member.js';

/** More than the directory of any .npz takes. */
const MAX_DIRECTORY = 1 << 24;

/** A .npz of more than `inMemory` images; undefined where it has no more. @throws {DataError} if it is damaged. */
export async function openNpz(path: string, inMemory: number): Promise<ImageSource | undefined> {
  const { size: fileSize } = await stat(path);
  const tailSize = Math.min(fileSize, ZIP_TAIL);
  const directory = findZipDirectory(await readRanges(path, [fileSize - tailSize], tailSize), fileSize, path);
  const { start, end, count } = directory;
  if (end > fileSize || end - start > MAX_DIRECTORY) throw damaged(path);
  const entries = readZipDirectory(await readRanges(path, [start], end - start), count, path);
  const entry = entries.get('images.npy');
  if (!entry) return undefined;
  const images = await memberOf(path, entry, fileSize, `${path}: images`);
  const header = readNpyHeader(await headOf(images, Math.min(entry.size, MAX_NPY_HEADER)), entry.size, images.what);
  if (!(header.shape[0]! > inMemory)) return undefined;
  // Refuses what are no images before they are unpacked.
  imageSourceFromNpy(header, () => Promise.reject(), path);
  const labels = await readLabels(path, entries.get('labels.npy'), header.shape[0]!, fileSize);
  return imageSourceFromNpy(header, await openMember(images, entry.size), path, labels);
}

async function readLabels(
  path: string,
  entry: ZipEntry | undefined,
  count: number,
  fileSize: number,
): Promise<NdArray | undefined> {
  if (!entry) return undefined;
  const what = `${path}: labels`;
  if (entry.size > count * 8 + MAX_NPY_HEADER) {
    throw new DataError(`${what} has ${entry.size} bytes, more than one label an image takes; save one for each`);
  }
  const read = await openMember(await memberOf(path, entry, fileSize, what), entry.size);
  return readNpy(await read([0], entry.size), what);
}

async function memberOf(path: string, entry: ZipEntry, fileSize: number, what: string): Promise<Member> {
  const { headerOffset, compressedSize: length, crc } = entry;
  if (headerOffset + ZIP_LOCAL_HEADER > fileSize) throw damaged(what);
  const offset = zipDataOffset(await readRanges(path, [headerOffset], ZIP_LOCAL_HEADER), entry, what);
  if (length === 0 || offset + length > fileSize) throw damaged(what);
  return { path, what, offset, length, packing: isDeflated(entry, what) ? 'deflate' : 'stored', crc };
}
