import { DataError } from '../errors.js';
import { quote } from './array.js';

const BLOCK = 512;
const CHECKSUM = { start: 148, end: 156 };

/** What a header says of the entry that follows it. */
export interface TarHeader {
  readonly name: string;
  readonly size: number;
  /** As in the archive: '0' for a regular file. */
  readonly type: string;
}

export const TAR_BLOCK = BLOCK;

/** Whether `bytes` begin as a tar archive does (the header, 512 bytes, must be whole). */
export const looksLikeTar = (bytes: Uint8Array): boolean =>
  bytes.length >= BLOCK && hasChecksum(bytes.subarray(0, BLOCK));

/** Bytes to skip after an entry's data, which is padded to whole blocks. */
export const tarPadding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

/**
 * One header of 512 bytes; undefined for the zeros that end an archive.
 * @param at where in the archive it lies, for the message
 * @throws {DataError} if it is cut short or its checksum does not hold.
 */
export function readTarHeader(header: Uint8Array, at: number, fileName: string): TarHeader | undefined {
  if (header.length < BLOCK) throw new DataError(`${fileName} is a tar archive cut short; copy or download it again`);
  if (header.every((byte) => byte === 0)) return undefined;
  const size = octal(header, 124, 136);
  if (!hasChecksum(header) || !Number.isSafeInteger(size)) {
    throw new DataError(`${fileName} is not a tar archive, or damaged at byte ${at}; copy or download it again`);
  }
  // GNU's headers have times where ustar's have a prefix.
  const prefix = text(header, 257, 263) === 'ustar' ? text(header, 345, 500) : '';
  const name = [prefix, text(header, 0, 100)].filter(Boolean).join('/');
  return { name, size, type: text(header, 156, 157) || '0' };
}

/** The name that an entry of another kind gives to the next one: GNU `L`, pax `path`. */
export function longTarName({ type }: TarHeader, data: Uint8Array): string | undefined {
  if (type === 'L') return text(data, 0, data.length);
  if (type === 'x') return /^\d+ path=(.*)$/m.exec(text(data, 0, data.length))?.[1];
  return undefined;
}

/**
 * The regular files of a tar archive by name, as views of `bytes`. Long names (GNU `L`, pax `path`) are understood.
 * @throws {DataError} if a header's checksum does not hold, or the archive is cut short.
 */
export function readTar(bytes: Uint8Array, fileName: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  let longName: string | undefined;
  for (let at = 0; ; ) {
    const header = readTarHeader(bytes.subarray(at, at + BLOCK), at, fileName);
    if (!header) return files;
    const { size, type } = header;
    const name = longName ?? header.name;
    const data = bytes.subarray(at + BLOCK, at + BLOCK + size);
    if (data.length < size) {
      throw new DataError(`${fileName} is cut short within ${quote(name)}; copy or download it again`);
    }
    at += BLOCK + size + tarPadding(size);
    if (type === '0') files.set(name, data);
    longName = longTarName(header, data);
  }
}

const hasChecksum = (header: Uint8Array): boolean => checksum(header) === octal(header, CHECKSUM.start, CHECKSUM.end);

/** The sum of a header's bytes, its own field taken as spaces. */
function checksum(header: Uint8Array): number {
  return header.reduce((sum, byte, i) => sum + (i >= CHECKSUM.start && i < CHECKSUM.end ? 0x20 : byte), 0);
}

function octal(header: Uint8Array, start: number, end: number): number {
  return Number(`0o${text(header, start, end).trim() || '0'}`);
}

/** Text to the first NUL. */
function text(bytes: Uint8Array, start: number, end: number): string {
  return new TextDecoder().decode(bytes.subarray(start, end)).split('\0', 1)[0];
}
