import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createInflate, createInflateRaw } from 'node:zlib';
import type { ReadRanges } from '../data/image-set.js';
import { DataError } from '../errors.js';
import { checkExpansion, crc32, damaged } from '../formats/inflate.js';
import { readRanges, reason } from './files.js';
import { openSpool } from './spool.js';

/** A part of a file, stored or compressed: an entry of a zip archive, an element of a MAT-file. */
export interface Member {
  readonly path: string;
  /** What to call it in messages. */
  readonly what: string;
  readonly offset: number;
  /** Bytes in the file. */
  readonly length: number;
  /** zlib's format has a checksum of its own. */
  readonly packing: 'stored' | 'deflate' | 'zlib';
  readonly crc?: number;
}

/** The first `length` bytes, or all there are; nothing more is expanded. @throws {DataError} if they are damaged. */
export async function headOf(member: Member, length: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let missing = length;
  await expand(member, (chunk) => {
    parts.push(chunk);
    missing -= chunk.length;
    return missing <= 0 ? ENOUGH : undefined;
  });
  return Buffer.concat(parts).subarray(0, length);
}

/**
 * A member of `size` bytes, checked, to be read by ranges: in the file where it is stored; else from a temporary file.
 * @throws {DataError} if it is damaged, or there is no room.
 */
export async function openMember(member: Member, size: number): Promise<ReadRanges> {
  const { path, what, offset, length, packing } = member;
  if (packing === 'stored') {
    await verify(member, size, () => {});
    return (offsets, bytes) =>
      readRanges(
        path,
        offsets.map((at) => at + offset),
        bytes,
      );
  }
  checkExpansion(length, size, what);
  const spool = await openSpool(size, what);
  let written = 0;
  try {
    await verify(member, size, async (chunk) => {
      await spool.write(chunk, written);
      written += chunk.length;
    });
  } catch (error) {
    await spool.close();
    throw error;
  }
  return spool.read;
}

async function verify(member: Member, size: number, take: (chunk: Uint8Array) => void | Promise<void>): Promise<void> {
  let total = 0;
  let crc = 0;
  await expand(member, async (chunk) => {
    total += chunk.length;
    if (total > size) throw damaged(member.what);
    if (member.crc !== undefined) crc = crc32(chunk, crc);
    await take(chunk);
  });
  if (total !== size || crc !== (member.crc ?? 0)) throw damaged(member.what);
}

const ENOUGH = Symbol('enough');

/** Gives a member's bytes piece by piece, each after the one before has been taken. @param take returns `ENOUGH` to stop */
async function expand(
  { path, what, offset, length, packing }: Member,
  take: (chunk: Uint8Array) => unknown,
): Promise<void> {
  const file = createReadStream(path, { start: offset, end: offset + length - 1, highWaterMark: 1 << 18 });
  let enough = false;
  const sink = async (chunks: AsyncIterable<Uint8Array>) => {
    for await (const chunk of chunks) {
      enough = (await take(chunk)) === ENOUGH;
      if (enough) return;
    }
  };
  const options = { chunkSize: 1 << 18 };
  try {
    if (packing === 'stored') await pipeline(file, sink);
    else await pipeline(file, packing === 'zlib' ? createInflate(options) : createInflateRaw(options), sink);
  } catch (error) {
    // The pipeline calls it an error that its end is not waited for.
    if (enough) return;
    if (error instanceof DataError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code?.startsWith('Z_')) throw damaged(what);
    throw new DataError(`cannot read ${path}: ${reason(error)}`, { cause: error });
  }
}
