import { gunzipSync, inflateSync } from 'fflate';
import { DataError } from '../errors.js';

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

/** CRC-32 as zip and gzip use it (polynomial 0xedb88320, reflected). fflate keeps its own to itself. */
export function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = crcTable[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Deflate cannot expand data more than this many times (RFC 1951), so a larger claim needs no memory to refuse. */
const MAX_EXPANSION = 1032;

/** Raw deflate data of known size and CRC-32. `what` begins the messages. @throws {DataError} if it is damaged. */
export function inflate(data: Uint8Array, size: number, crc: number, what: string): Uint8Array {
  return checked(data, size, crc, what, (out) => inflateSync(data, { out }));
}

/** The contents of a gzip file of one member. @throws {DataError} if it is damaged. */
export function gunzip(bytes: Uint8Array, fileName: string): Uint8Array {
  if (bytes.length < 18) throw damaged(fileName);
  const trailer = new DataView(bytes.buffer, bytes.byteOffset + bytes.length - 8);
  return checked(bytes, trailer.getUint32(4, true), trailer.getUint32(0, true), fileName, (out) =>
    gunzipSync(bytes, { out }),
  );
}

function checked(
  data: Uint8Array,
  size: number,
  crc: number,
  what: string,
  expand: (out: Uint8Array) => Uint8Array,
): Uint8Array {
  if (size > data.length * MAX_EXPANSION) throw damaged(what);
  const out = new Uint8Array(size);
  let expanded: Uint8Array;
  try {
    expanded = expand(out);
  } catch {
    throw damaged(what);
  }
  if (expanded.length !== size || crc32(expanded) !== crc) throw damaged(what);
  return expanded;
}

/** The one message for compressed data and checksums that do not hold. */
export function damaged(what: string): DataError {
  return new DataError(`${what} is damaged or cut short (its checksum does not match); copy or download it again`);
}
