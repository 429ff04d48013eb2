import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { DataError } from '../errors.js';
import { quote } from '../formats/array.js';
import { checkExpansion, damaged } from '../formats/inflate.js';
import { longTarName, readTarHeader, TAR_BLOCK, tarPadding } from '../formats/tar.js';
import { reason } from './files.js';

/** A regular file within an archive. */
export interface ArchiveEntry {
  /** Its path in the archive, as it stands there: nothing is ever written to it. */
  readonly path: string;
  readonly data: Uint8Array;
}

/** More than any file of CIFAR has (cifar-100-python's `train`: 155 MB). */
const MAX_ENTRY = 200e6;

/**
 * The regular files of a .tar or .tar.gz, one after the other, with no more than one of them in memory.
 * @param wanted which paths to read; others are passed over
 * @throws {DataError} if the archive cannot be read, is damaged, cut short, or expands as no honest one does.
 */
export async function* readArchive(path: string, wanted: (path: string) => boolean): AsyncGenerator<ArchiveEntry> {
  const bytes = new ByteReader(path);
  try {
    let longName: string | undefined;
    for (;;) {
      const header = readTarHeader(await bytes.take(TAR_BLOCK), bytes.taken - TAR_BLOCK, path);
      if (!header) break;
      const { type, size } = header;
      const name = longName ?? header.name;
      const isFile = type === '0' && wanted(name);
      const isName = type === 'L' || type === 'x';
      longName = undefined;
      if (!isFile && !isName) await bytes.skip(size);
      else {
        if (size > MAX_ENTRY) {
          throw new DataError(`${path}: ${quote(name)} has ${size} bytes, more than any picture or file of CIFAR has`);
        }
        const data = await bytes.take(size);
        if (data.length < size) {
          throw new DataError(`${path} is cut short within ${quote(name)}; copy or download it again`);
        }
        if (isFile) yield { path: name, data };
        else longName = longTarName(header, data);
      }
      await bytes.skip(tarPadding(size));
    }
    // To the end, where the checksum is.
    await bytes.skip(Number.POSITIVE_INFINITY);
  } finally {
    bytes.close();
  }
}

/** A file from its beginning to its end, expanded where it is gzip. */
class ByteReader {
  /** Bytes taken or skipped. */
  taken = 0;
  private readonly path: string;
  private readonly file;
  private chunks: AsyncIterator<Uint8Array> | undefined;
  private chunk: Uint8Array = new Uint8Array();

  constructor(path: string) {
    this.path = path;
    this.file = createReadStream(path, { highWaterMark: 1 << 18 });
  }

  /** The next `size` bytes, or as many as there are. */
  async take(size: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let missing = size;
    while (missing > 0 && (await this.fill())) {
      const part = this.chunk.subarray(0, missing);
      parts.push(part);
      this.advance(part.length);
      missing -= part.length;
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  async skip(size: number): Promise<void> {
    let missing = size;
    while (missing > 0 && (await this.fill())) {
      const length = Math.min(missing, this.chunk.length);
      this.advance(length);
      missing -= length;
    }
  }

  close(): void {
    this.file.destroy();
  }

  private advance(length: number): void {
    this.chunk = this.chunk.subarray(length);
    this.taken += length;
  }

  /** Whether there are bytes left, some of which are then in `chunk`. */
  private async fill(): Promise<boolean> {
    while (this.chunk.length === 0) {
      try {
        this.chunks ??= (await this.expanded())[Symbol.asyncIterator]();
        const { done, value } = await this.chunks.next();
        if (done) return false;
        this.chunk = value;
      } catch (error) {
        if (error instanceof DataError) throw error;
        // zlib's own errors: Z_DATA_ERROR, Z_BUF_ERROR, ..
        const { code } = error as NodeJS.ErrnoException;
        if (code?.startsWith('Z_')) throw damaged(this.path);
        throw new DataError(`cannot read ${this.path}: ${reason(error)}`, { cause: error });
      }
      checkExpansion(this.file.bytesRead, this.taken + this.chunk.length, this.path);
    }
    return true;
  }

  private async expanded(): Promise<AsyncIterable<Uint8Array>> {
    await new Promise<void>((resolve, reject) => {
      this.file.once('readable', resolve).once('end', resolve).once('error', reject);
    });
    const start: Uint8Array | null = this.file.read();
    if (start) this.file.unshift(start);
    if (start?.[0] !== 0x1f || start[1] !== 0x8b) return this.file;
    const gunzip = createGunzip();
    this.file.on('error', (error) => gunzip.destroy(error));
    return this.file.pipe(gunzip);
  }
}
