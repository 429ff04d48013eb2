import { DataError } from '../errors.js';
import { quote } from './array.js';

const BLOCK = 512;
const CHECKSUM = { start: 148, end: 156 };

/**
 * The regular files of a tar archive by name, as views of `bytes`. Long names (GNU `L`, pax `path`) are understood.
 * @throws {DataError} if a header's checksum does not hold, or the archive is cut short.
 */
export function readTar(bytes: Uint8Array, fileName: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  let longName: string | undefined;
  for (let at = 0; ; ) {
    const header = bytes.subarray(at, at + BLOCK);
    if (header.length < BLOCK) throw new DataError(`${fileName} is a tar archive cut short; copy or download it again`);
    if (header.every((byte) => byte === 0)) return files;
    if (checksum(header) !== octal(header, CHECKSUM.start, CHECKSUM.end)) {
      throw new DataError(`${fileName} is not a tar archive, or damaged at byte ${at}; copy or download it again`);
    }
    const size = octal(header, 124, 136);
    const data = bytes.subarray(at + BLOCK, at + BLOCK + size);
    const name = longName ?? [text(header, 345, 500), text(header, 0, 100)].filter(Boolean).join('/');
    if (!Number.isSafeInteger(size) || data.length < size) {
      throw new DataError(`${fileName} is cut short within ${quote(name)}; copy or download it again`);
    }
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;

    const type = text(header, 156, 157) || '0';
    longName = undefined;
    if (type === '0') files.set(name, data);
    else if (type === 'L') longName = text(data, 0, size);
    else if (type === 'x') longName = /^\d+ path=(.*)$/m.exec(text(data, 0, size))?.[1];
  }
}

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
