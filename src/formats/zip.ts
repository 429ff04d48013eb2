import { type Zippable, zipSync } from 'fflate';
import { DataError } from '../errors.js';
import { quote } from './array.js';
import { crc32, damaged, inflate } from './inflate.js';

/**
 * The entries of a zip archive, read when asked for. fflate's own reader checks neither checksums nor bounds and
 * copies stored entries; this one views them in place, which matters for image sets of 150 MB.
 */
export interface ZipArchive {
  /** In the order of the archive's directory. */
  readonly names: readonly string[];
  /**
   * The contents of an entry; a view of the archive's bytes where it is stored.
   * @throws {DataError} if there is no such entry, or it is damaged.
   */
  read(name: string): Uint8Array;
}

interface Entry {
  readonly method: number;
  readonly crc: number;
  readonly compressedSize: number;
  readonly size: number;
  readonly headerOffset: number;
}

const LOCAL_HEADER = 0x04034b50;
const DIRECTORY_HEADER = 0x02014b50;
const END_RECORD = 0x06054b50;
const END_RECORD_SIZE = 22;
const STORED = 0;
const DEFLATED = 8;

/** @throws {DataError} if `bytes` is not a whole zip archive, or one in a variant that is not read (zip64, encrypted). */
export function readZip(bytes: Uint8Array, fileName: string): ZipArchive {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries = readDirectory(view, bytes, fileName);
  return {
    names: [...entries.keys()],
    read(name) {
      const entry = entries.get(name);
      if (!entry) throw new DataError(`${fileName} has no entry ${quote(name)}; the file is incomplete`);
      return readEntry(view, bytes, entry, `${fileName}: ${quote(name)}`);
    },
  };
}

function readDirectory(view: DataView, bytes: Uint8Array, fileName: string): Map<string, Entry> {
  const end = findEndRecord(view);
  if (end < 0) throw new DataError(`${fileName} is not a whole zip archive; it is cut short or of another format`);
  const count = view.getUint16(end + 10, true);
  const offset = view.getUint32(end + 16, true);
  if (count === 0xffff || offset === 0xffffffff) {
    throw new DataError(`${fileName} is a zip64 archive, which is not read; split it to less than 4 GB`);
  }
  const entries = new Map<string, Entry>();
  let at = offset;
  for (let i = 0; i < count; i++) {
    if (at + 46 > end || view.getUint32(at, true) !== DIRECTORY_HEADER) throw damaged(fileName);
    const nameLength = view.getUint16(at + 28, true);
    const next = at + 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    if (next > end) throw damaged(fileName);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    if (entries.has(name)) throw new DataError(`${fileName} lists ${quote(name)} twice; write the file again`);
    if (view.getUint16(at + 8, true) & 1) {
      throw new DataError(`${fileName}: ${quote(name)} is encrypted; write the file without a password`);
    }
    entries.set(name, {
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      compressedSize: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      headerOffset: view.getUint32(at + 42, true),
    });
    at = next;
  }
  return entries;
}

/** The record that ends an archive is followed by a comment of up to 65,535 bytes, so it is sought from the end. */
function findEndRecord(view: DataView): number {
  const last = view.byteLength - END_RECORD_SIZE;
  for (let at = last; at >= Math.max(0, last - 0xffff); at--) {
    if (view.getUint32(at, true) === END_RECORD && view.getUint16(at + 20, true) === last - at) return at;
  }
  return -1;
}

function readEntry(view: DataView, bytes: Uint8Array, entry: Entry, what: string): Uint8Array {
  const { method, crc, compressedSize, size, headerOffset: at } = entry;
  if (at + 30 > bytes.length || view.getUint32(at, true) !== LOCAL_HEADER) throw damaged(what);
  const start = at + 30 + view.getUint16(at + 26, true) + view.getUint16(at + 28, true);
  if (start + compressedSize > bytes.length) throw damaged(what);
  const data = bytes.subarray(start, start + compressedSize);
  if (method === DEFLATED) return inflate(data, size, crc, what);
  if (method !== STORED) {
    throw new DataError(`${what} is compressed by zip method ${method}; store or deflate it (methods 0 and 8)`);
  }
  if (size !== compressedSize || crc32(data) !== crc) throw damaged(what);
  return data;
}

/** zip keeps local time without a zone, from 1980 on: one fixed date makes equal contents equal files. */
const DATE = new Date(1980, 0, 1);

/**
 * A zip archive of stored entries, each beginning at a multiple of `alignment` bytes (at most 4096). Equal contents give
 * equal bytes.
 */
export function writeZip(entries: ReadonlyMap<string, Uint8Array>, alignment: number): Uint8Array {
  const files: Zippable = {};
  let at = 0;
  for (const [name, data] of entries) {
    // An extra field (a 2-byte id, a 2-byte length, filler) moves the data; the id is the one that PyTorch pads with.
    const headerSize = 30 + new TextEncoder().encode(name).length + 4;
    const padding = (alignment - ((at + headerSize) % alignment)) % alignment;
    files[name] = [data, { level: 0, mtime: DATE, extra: { 16966: new Uint8Array(padding) } }];
    at += headerSize + padding + data.length;
  }
  return zipSync(files);
}
