import { stat } from 'node:fs/promises';
import { type ImageSource, imageSourceFromMat } from '../data/image-set.js';
import { elementsOf, itemSize } from '../formats/array.js';
import { damaged } from '../formats/inflate.js';
import { checkMatHeader, MAT_HEADER, readMatrixHead, readMatTag } from '../formats/mat.js';
import { readRanges } from './files.js';
import { headOf, type Member, openMember } from './member.js';

/** More than the part of an array takes that says what it is. */
const HEAD = 4096;

/** SVHN's .mat of more than `inMemory` images; undefined where it has no more. @throws {DataError} if it is damaged. */
export async function openMat(path: string, inMemory: number): Promise<ImageSource | undefined> {
  const { size: fileSize } = await stat(path);
  checkMatHeader(await readRanges(path, [0], Math.min(fileSize, MAT_HEADER)), path);
  const found = new Map<
    string,
    { member: Member; size: number; head: NonNullable<ReturnType<typeof readMatrixHead>> }
  >();
  for (let at = MAT_HEADER; at < fileSize; ) {
    const tag = readMatTag(await readRanges(path, [at], Math.min(8, fileSize - at)), path);
    const { compressed, matrix } = tag;
    const length = compressed ? tag.size : tag.size + 8;
    const offset = compressed ? at + 8 : at;
    if (length === 0 || offset + length > fileSize) throw damaged(path);
    at = offset + (compressed ? length : Math.ceil(length / 8) * 8);
    if (!compressed && !matrix) continue;
    const member: Member = { path, what: path, offset, length, packing: compressed ? 'zlib' : 'stored' };
    const start = await headOf(member, HEAD);
    const inner = readMatTag(start, path);
    const head = inner.matrix ? readMatrixHead(start, path) : undefined;
    if (head) found.set(head.name, { member, size: inner.size + 8, head });
  }
  const X = found.get('X');
  const [height, width, channels, count = 1] = X?.head.shape ?? [];
  const isImages = X?.head.dtype === 'uint8' && height === 32 && width === 32 && channels === 3;
  if (!X || !isImages || count <= inMemory) return undefined;
  const y = found.get('y');
  let labels: Parameters<typeof imageSourceFromMat>[1];
  // As many as images, or the set is refused; so they take no more memory than that.
  if (y) {
    const { dtype, shape, dataOffset } = y.head;
    const elements = Math.min(
      shape.reduce((product, size) => product * size, 1),
      count + 1,
    );
    const bytes = await (await openMember(y.member, y.size))([dataOffset], elements * itemSize(dtype));
    labels = { dtype, shape: [elements], data: elementsOf(dtype, bytes) };
  }
  return imageSourceFromMat(X.head, labels, await openMember(X.member, X.size), path);
}
