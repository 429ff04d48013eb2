import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type FileHandle, open, rm, statfs, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReadRanges } from '../data/image-set.js';
import { DataError } from '../errors.js';
import { readRangesOf, reason } from './files.js';

/** A temporary file without a name, so that nothing is left behind however the process ends. */
export interface Spool {
  /** @throws {DataError} if there is no room */
  write(bytes: Uint8Array, position: number): Promise<void>;
  readonly read: ReadRanges;
  /** Otherwise it is closed when nothing can read it any more. */
  close(): Promise<void>;
}

/**
 * @param size bytes there must be room for
 * @param what is to be put there, for messages
 * @throws {DataError} if there is no room
 */
export async function openSpool(size: number, what: string): Promise<Spool> {
  const file = await openUnnamed(size, what);
  const spool: Spool = {
    async write(bytes, position) {
      try {
        for (let at = 0; at < bytes.length; ) {
          at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
        }
      } catch (error) {
        refuse(what, error);
      }
    },
    read: (offsets, length) => readRangesOf(file, offsets, length, what),
    close: () => file.close(),
  };
  closing.register(spool.read, file);
  return spool;
}

const closing = new FinalizationRegistry<FileHandle>((file) => void file.close());

async function openUnnamed(size: number, what: string): Promise<FileHandle> {
  const folder = spoolFolder();
  try {
    const { bavail, bsize } = await statfs(folder);
    if (bavail * bsize < size) throw Object.assign(new Error(), { code: 'ENOSPC' });
    const path = join(folder, `energate-${randomUUID()}`);
    const file = await open(path, 'wx+', 0o600);
    try {
      await unlink(path);
      return file;
    } catch (error) {
      await file.close();
      await rm(path, { force: true });
      throw error;
    }
  } catch (error) {
    return refuse(what, error);
  }
}

/** /tmp is memory on many systems, and /var/tmp is where what is large belongs there. */
const spoolFolder = () => (!process.env.TMPDIR && existsSync('/var/tmp') ? '/var/tmp' : tmpdir());

function refuse(what: string, error: unknown): never {
  throw new DataError(
    `${what} cannot be unpacked into ${spoolFolder()}: ${reason(error)}, or set TMPDIR to a folder with room`,
    { cause: error },
  );
}
