import { gunzipSync, inflateSync, Unzlib } from 'fflate';
import { DataError } from '../errors.js';

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

/**
 * CRC-32 as zip and gzip use it (polynomial 0xedb88320, reflected). fflate keeps its own to itself.
 * @param before that of the bytes before these
 */
export function crc32(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  for (let i = 0; i < bytes.length; i++) crc = crcTable[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Deflate cannot expand data more than this many times (RFC 1951), so a larger claim needs no memory to refuse. */
const MAX_EXPANSION = 1032;

/** Beyond 64 MiB, data that expand more often than any images or weights do are made to fill memory. */
const BOMB = { bytes: 2 ** 26, expansion: 100 };

/** @throws {DataError} where `compressed` bytes claim, or have come, to expand to `size`, and are no honest data. */
export function checkExpansion(compressed: number, size: number, what: string): void {
  if (size > compressed * MAX_EXPANSION) throw damaged(what);
  if (size > BOMB.bytes && size > compressed * BOMB.expansion) {
    throw new DataError(
      `${what} expands from ${compressed} to ${size} bytes or more, as no images or weights do; store it uncompressed`,
    );
  }
}

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

/** Adler-32 (RFC 1950). */
function adler32(bytes: Uint8Array): number {
  let [a, b] = [1, 0];
  for (let at = 0; at < bytes.length; ) {
    // So many sums stay below 2^32 before they are reduced.
    const end = Math.min(bytes.length, at + 3800);
    for (; at < end; at++) {
      a += bytes[at]!;
      b += a;
    }
    a %= 65521;
    b %= 65521;
  }
  return ((b << 16) | a) >>> 0;
}

/** Bytes that are expanded at a time: so much comes to 4 MB at most before it is known to be too much. */
const PIECE = 1 << 12;

/**
 * zlib data (RFC 1950) that tells its own size.
 * @param sizeOf the whole size, from the first bytes (at least 8 of them, or all there are)
 * @throws {DataError} if it is damaged, or has another size.
 */
export function unzlib(data: Uint8Array, sizeOf: (start: Uint8Array) => number, what: string): Uint8Array {
  if (data.length < 6) throw damaged(what);
  let out: Uint8Array | undefined;
  let start = new Uint8Array();
  let filled = 0;
  let ended = false;
  const take = (piece: Uint8Array) => {
    if (!out) {
      start = concat(start, piece);
      if (start.length < 8) return;
      const size = sizeOf(start);
      checkExpansion(data.length, size, what);
      out = new Uint8Array(size);
      piece = start;
    }
    if (filled + piece.length > out.length) throw damaged(what);
    out.set(piece, filled);
    filled += piece.length;
  };
  const stream = new Unzlib((piece, final) => {
    take(piece);
    ended ||= final;
  });
  try {
    for (let at = 0; !ended; ) {
      // The last piece must hold the checksum.
      const end = data.length - at < 2 * PIECE ? data.length : at + PIECE;
      stream.push(data.subarray(at, end), end === data.length);
      at = end;
    }
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw damaged(what);
  }
  const checksum = new DataView(data.buffer, data.byteOffset + data.length - 4).getUint32(0, false);
  if (!out || !ended || filled !== out.length || adler32(out) !== checksum) throw damaged(what);
  return out;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

function checked(
  data: Uint8Array,
  size: number,
  crc: number,
  what: string,
  expand: (out: Uint8Array) => Uint8Array,
): Uint8Array {
  checkExpansion(data.length, size, what);
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
