import { randomUUID } from 'node:crypto';
import { type FileHandle, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { DataError } from '../errors.js';
import { readStateDict as parseStateDict, type StateDict } from '../formats/state-dict.js';

/** @throws {DataError} if the file is missing, a folder, unreadable, or larger than Node reads at once (2 GiB). */
export async function readFileBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new DataError(`cannot read ${path}: ${reason(error)}`, { cause: error });
  }
}

/**
 * Writes a file, in one piece or several, whole or not at all: beside its place first, flushed to the disk, then renamed.
 * @throws {DataError} if it cannot be written; what was there before is then untouched.
 */
export async function writeFileAtomic(path: string, bytes: Uint8Array | Iterable<Uint8Array>): Promise<void> {
  const temporary = temporaryFor(path);
  try {
    const file = await open(temporary, 'wx');
    try {
      for (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) await file.writeFile(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw new DataError(`cannot write ${path}: ${reason(error)}`, { cause: error });
  }
}

/**
 * Finds out, before long work, whether {@link writeFileAtomic} could write `path`: by making and removing a file beside it,
 * since permissions alone do not tell (read-only and virtual file systems, quotas).
 * @param inputs files that are read, none of which it may be
 * @throws {DataError} if not.
 */
export async function checkWritable(path: string, inputs: Inputs = []): Promise<void> {
  await requireFree(path, inputs);
  const temporary = temporaryFor(path);
  try {
    const file = await open(temporary, 'wx');
    await file.close();
    await rm(temporary);
  } catch (error) {
    throw new DataError(`cannot write ${path}: ${reason(error)}`, { cause: error });
  }
}

/**
 * Finds out, before long work, whether `path` could be written in place, as a log is. It stays as it was.
 * @param inputs as {@link checkWritable}
 * @throws {DataError} if not.
 */
export async function checkAppendable(path: string, inputs: Inputs = []): Promise<void> {
  const existed = await requireFree(path, inputs);
  try {
    const file = await open(path, 'a');
    await file.close();
    // The file, where the path is a link to where there was none.
    if (!existed) await rm(await realpath(path));
  } catch (error) {
    throw new DataError(`cannot write ${path}: ${reason(error)}`, { cause: error });
  }
}

/** Files that a command reads, some of which may not be given. */
type Inputs = readonly (string | undefined)[];

/** Whether the path exists. @throws {DataError} if it is something that cannot be replaced by a file, or is read. */
async function requireFree(path: string, inputs: Inputs): Promise<boolean> {
  const existing = await stat(path).catch(() => undefined);
  if (existing && !existing.isFile()) {
    const kind = existing.isDirectory() ? 'a folder' : 'not a regular file';
    throw new DataError(`cannot write ${path}: it is ${kind}; give the name of a file`);
  }
  if (!existing) return false;
  const place = await realpath(path);
  for (const input of inputs) {
    if (input === undefined || (await realpath(input).catch(() => undefined)) !== place) continue;
    throw new DataError(`cannot write ${path}: it is read, as ${input}; give the name of another file`);
  }
  return true;
}

/** A weight file, by its content: safetensors or PyTorch. @throws {DataError} if it cannot be read, or is neither. */
export async function readStateDict(path: string): Promise<StateDict> {
  return parseStateDict(await readFileBytes(path), path);
}

/** In the same folder, since a rename cannot cross file systems. */
function temporaryFor(path: string): string {
  return `${path}.${randomUUID()}.tmp`;
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder; check the path',
  ENOTDIR: 'a part of its path is a file, not a folder; check the path',
  EISDIR: 'it is a folder; give the name of a file',
  EACCES: 'permission denied; change its permissions or choose another place',
  EPERM: 'not permitted; change its permissions or choose another place',
  EROFS: 'the file system is read-only; choose another place',
  ENOSPC: 'the disk is full; free some space or choose another place',
  ENAMETOOLONG: 'the name is too long; choose a shorter one',
  ERR_FS_FILE_TOO_LARGE: 'it is larger than 2 GiB; split it',
};

/** Why a file could not be read or written, and what to do. */
export function reason(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return reasons[code] ?? message;
}

/** Reads under way at once: enough to keep a disk busy. */
const READS = 16;

/** `length` bytes of a file from each offset. @throws {DataError} if they cannot be read. */
export async function readRanges(path: string, offsets: readonly number[], length: number): Promise<Uint8Array> {
  return usingFile(path, (file) => readRangesOf(file, offsets, length, path));
}

/** {@link readRanges} of a file that is open. @param what begins the messages */
export async function readRangesOf(
  file: FileHandle,
  offsets: readonly number[],
  length: number,
  what: string,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(offsets.length * length);
  await inParallel(offsets.length, READS, async (i) => {
    for (let filled = 0; filled < length; ) {
      const { bytesRead } = await file.read(bytes, i * length + filled, length - filled, offsets[i]! + filled);
      if (bytesRead === 0) throw new DataError(`${what} has become shorter while it was read; leave it as it is`);
      filled += bytesRead;
    }
  });
  return bytes;
}

/** Does `work` for 0, 1, .. `count` - 1, so many at once. */
export async function inParallel(count: number, atOnce: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < count; i = next++) await work(i);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker));
}

/** Opens a file, and closes it. @throws {DataError} if it cannot be read. */
export async function usingFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  try {
    const file = await open(path);
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError(`cannot read ${path}: ${reason(error)}`, { cause: error });
  }
}
