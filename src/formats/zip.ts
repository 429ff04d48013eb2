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

/** What an archive's directory says of an entry. */
export interface ZipEntry {
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
const ZIP64_LOCATOR = 0x07064b50;
const ZIP64_END_RECORD = 0x06064b50;
const DEFLATED = 8;

/** Bytes from the end of an archive that hold its end records: with the longest comment and zip64's two records. */
export const ZIP_TAIL = END_RECORD_SIZE + 0xffff + 20 + 56;
/** Bytes of a local header before its variable part. */
export const ZIP_LOCAL_HEADER = 30;

/** Whether `bytes` begin as a zip archive does. */
export const looksLikeZip = (bytes: Uint8Array): boolean => bytes[0] === 0x50 && bytes[1] === 0x4b;

/** @throws {DataError} if `bytes` is not a whole zip archive, or is encrypted. */
export function readZip(bytes: Uint8Array, fileName: string): ZipArchive {
  const directory = findZipDirectory(bytes, bytes.length, fileName);
  const entries = readZipDirectory(bytes.subarray(directory.start, directory.end), directory.count, fileName);
  return {
    names: [...entries.keys()],
    read(name) {
      const entry = entries.get(name);
      if (!entry) throw new DataError(`${fileName} has no entry ${quote(name)}; the file is incomplete`);
      return readEntry(bytes, entry, `${fileName}: ${quote(name)}`);
    },
  };
}

/** Where an archive's directory lies, and of how many entries. */
export interface ZipDirectory {
  readonly start: number;
  readonly end: number;
  readonly count: number;
}

/**
 * @param tail the archive's last {@link ZIP_TAIL} bytes, or all of it
 * @param size of the archive in bytes
 * @throws {DataError} if it is no whole archive
 */
export function findZipDirectory(tail: Uint8Array, size: number, fileName: string): ZipDirectory {
  const view = new DataView(tail.buffer, tail.byteOffset, tail.length);
  const at = findEndRecord(view);
  if (at < 0) throw new DataError(`${fileName} is not a whole zip archive; it is cut short or of another format`);
  const skipped = size - tail.length;
  let end = skipped + at;
  let count = view.getUint16(at + 10, true);
  let start = view.getUint32(at + 16, true);
  if (count === 0xffff || start === 0xffffffff) {
    // zip64: a locator before the end record says where a larger one lies.
    if (at < 20 || view.getUint32(at - 20, true) !== ZIP64_LOCATOR) throw damaged(fileName);
    end = uint64(view, at - 12);
    const record = end - skipped;
    if (record < 0 || record + 56 > tail.length || view.getUint32(record, true) !== ZIP64_END_RECORD) {
      throw damaged(fileName);
    }
    count = uint64(view, record + 32);
    start = uint64(view, record + 48);
  }
  if (start > end) throw damaged(fileName);
  return { start, end, count };
}

/** The entries of an archive by name. @param directory its directory's bytes @throws {DataError} if it is damaged. */
export function readZipDirectory(directory: Uint8Array, count: number, fileName: string): Map<string, ZipEntry> {
  const view = new DataView(directory.buffer, directory.byteOffset, directory.length);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > directory.length || view.getUint32(at, true) !== DIRECTORY_HEADER) throw damaged(fileName);
    const extra = at + 46 + view.getUint16(at + 28, true);
    const comment = extra + view.getUint16(at + 30, true);
    const next = comment + view.getUint16(at + 32, true);
    if (next > directory.length) throw damaged(fileName);
    const name = new TextDecoder().decode(directory.subarray(at + 46, extra));
    if (entries.has(name)) throw new DataError(`${fileName} lists ${quote(name)} twice; write the file again`);
    if (view.getUint16(at + 8, true) & 1) {
      throw new DataError(`${fileName}: ${quote(name)} is encrypted; write the file without a password`);
    }
    const [size, compressedSize, headerOffset] = zip64Numbers(
      view,
      { start: extra, end: comment },
      [at + 24, at + 20, at + 42].map((field) => view.getUint32(field, true)),
      fileName,
    );
    entries.set(name, {
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      compressedSize: compressedSize!,
      size: size!,
      headerOffset: headerOffset!,
    });
    at = next;
  }
  return entries;
}

/** Numbers that did not fit 32 bits are all ones there, and lie, in this order, in the extra field of zip64 (id 1). */
function zip64Numbers(
  view: DataView,
  extra: { readonly start: number; readonly end: number },
  numbers: readonly number[],
  fileName: string,
): number[] {
  if (!numbers.includes(0xffffffff)) return [...numbers];
  for (let at = extra.start; at + 4 <= extra.end; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue;
    let field = at + 4;
    const end = Math.min(extra.end, field + view.getUint16(at + 2, true));
    return numbers.map((number) => {
      if (number !== 0xffffffff) return number;
      if (field + 8 > end) throw damaged(fileName);
      field += 8;
      return uint64(view, field - 8);
    });
  }
  throw damaged(fileName);
}

/** Beyond 2^53, which no file reaches, it is rounded. */
const uint64 = (view: DataView, at: number): number => Number(view.getBigUint64(at, true));

/** The record that ends an archive is followed by a comment of up to 65,535 bytes, so it is sought from the end. */
function findEndRecord(view: DataView): number {
  const last = view.byteLength - END_RECORD_SIZE;
  for (let at = last; at >= Math.max(0, last - 0xffff); at--) {
    if (view.getUint32(at, true) === END_RECORD && view.getUint16(at + 20, true) === last - at) return at;
  }
  return -1;
}

/**
 * Where an entry's data begin.
 * @param header the {@link ZIP_LOCAL_HEADER} bytes at `entry.headerOffset`
 * @throws {DataError} if they are no header
 */
export function zipDataOffset(header: Uint8Array, { headerOffset }: ZipEntry, what: string): number {
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  if (header.length < ZIP_LOCAL_HEADER || view.getUint32(0, true) !== LOCAL_HEADER) throw damaged(what);
  return headerOffset + ZIP_LOCAL_HEADER + view.getUint16(26, true) + view.getUint16(28, true);
}

/** Whether an entry is deflated. @throws {DataError} if it is packed by another method, or a stored one has two sizes. */
export function isDeflated({ method, size, compressedSize }: ZipEntry, what: string): boolean {
  if (method === DEFLATED) return true;
  if (method !== STORED) {
    throw new DataError(`${what} is compressed by zip method ${method}; store or deflate it (methods 0 and 8)`);
  }
  if (size !== compressedSize) throw damaged(what);
  return false;
}

function readEntry(bytes: Uint8Array, entry: ZipEntry, what: string): Uint8Array {
  const { crc, compressedSize, size, headerOffset } = entry;
  const start = zipDataOffset(bytes.subarray(headerOffset, headerOffset + ZIP_LOCAL_HEADER), entry, what);
  if (start + compressedSize > bytes.length) throw damaged(what);
  const data = bytes.subarray(start, start + compressedSize);
  if (isDeflated(entry, what)) return inflate(data, size, crc, what);
  if (crc32(data) !== crc) throw damaged(what);
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
