import { DataError } from '../errors.js';
import { byteCount, type DType, elementsOf, type NdArray, quote, type TypedArray } from './array.js';
import { unzlib } from './inflate.js';

/** Bytes before the first element. */
export const MAT_HEADER = 128;
const TEXT = 'MATLAB 5.0 MAT-file';

/** Data types of elements ("MAT-File Format", MathWorks, table 1-1): numbers are the DType they are stored as. */
const NUMBERS: Readonly<Record<number, DType>> = {
  1: 'int8',
  2: 'uint8',
  3: 'int16',
  4: 'uint16',
  5: 'int32',
  6: 'uint32',
  7: 'float32',
  9: 'float64',
  12: 'int64',
  13: 'uint64',
};
const MATRIX = 14;
const COMPRESSED = 15;

/** Classes of arrays (table 1-3) that are dense numbers. Their elements may be stored as a smaller type. */
const CLASSES: Readonly<Record<number, DType>> = {
  6: 'float64',
  7: 'float32',
  8: 'int8',
  9: 'uint8',
  10: 'int16',
  11: 'uint16',
  12: 'int32',
  13: 'uint32',
  14: 'int64',
  15: 'uint64',
};
const COMPLEX = 0x0800;

/** Whether `bytes` begin as a MAT-file of version 5 to 7 does. */
export const looksLikeMat = (bytes: Uint8Array): boolean =>
  new TextDecoder('latin1').decode(bytes.subarray(0, TEXT.length)) === TEXT;

/**
 * The arrays of numbers in a MAT-file of version 5 (MATLAB's `-v6` and, compressed, `-v7`), by name. What else there is
 * (text, cells, structures, sparse and complex arrays) is passed over. In MATLAB's order: **the first axis varies fastest**.
 * An array shares the memory of `bytes` where it is not compressed. Published as "MAT-File Format" by MathWorks.
 * @throws {DataError} if the file is damaged, or of another version or byte order.
 */
export function readMat(bytes: Uint8Array, fileName: string): Map<string, NdArray> {
  checkMatHeader(bytes, fileName);
  const arrays = new Map<string, NdArray>();
  for (const element of elements(bytes.subarray(MAT_HEADER), fileName)) {
    const matrix = element.type === COMPRESSED ? expand(element.data, fileName) : element;
    if (matrix.type !== MATRIX) continue;
    const array = readMatrix(matrix.data, fileName);
    if (array) arrays.set(array.name, array.values);
  }
  return arrays;
}

/** @throws {DataError} if a file that begins with `bytes` is not a little-endian MAT-file of version 5. */
export function checkMatHeader(bytes: Uint8Array, fileName: string): void {
  if (!looksLikeMat(bytes) || bytes.length < MAT_HEADER) {
    throw new DataError(`${fileName} is not a MAT-file of version 5; save it with -v7`);
  }
  const order = new TextDecoder('latin1').decode(bytes.subarray(126, 128));
  if (order !== 'IM') throw new DataError(`${fileName} is big-endian or damaged; save it on a little-endian machine`);
}

interface Element {
  readonly type: number;
  readonly data: Uint8Array;
}

/** Elements one after the other, each a tag (type, bytes) and data, padded to 8 bytes unless compressed. */
function* elements(bytes: Uint8Array, what: string): Generator<Element> {
  for (let at = 0; at < bytes.length; ) {
    const { type, data, next } = elementAt(bytes, at, what);
    yield { type, data };
    at = next;
  }
}

/** The tag of the element that `bytes` begin with: whether it is a compressed one, or an array, and the bytes that follow. */
export function readMatTag(bytes: Uint8Array, what: string): { compressed: boolean; matrix: boolean; size: number } {
  if (bytes.length < 8) throw cutShort(what);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [type, size] = [view.getUint32(0, true), view.getUint32(4, true)];
  return { compressed: type === COMPRESSED, matrix: type === MATRIX, size };
}

/**
 * What an array is, from the beginning of its element, tag and all; undefined for what {@link readMat} passes over.
 * @throws {DataError} if it is damaged, or its elements are not as many as its shape says
 */
export function readMatrixHead(bytes: Uint8Array, fileName: string) {
  const flags = elementAt(bytes, 8, fileName);
  const sizes = elementAt(bytes, flags.next, fileName);
  const name = elementAt(bytes, sizes.next, fileName);
  if (flags.data.length !== 8 || NUMBERS[sizes.type] !== 'int32' || sizes.data.length % 4) throw cutShort(fileName);
  const at = name.next;
  if (at + 8 > bytes.length) throw cutShort(fileName);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const tag = view.getUint32(at, true);
  const small = tag >>> 16;
  const dtype = NUMBERS[tag & 0xffff];
  if (!dtype || !CLASSES[flags.data[0]!] || flags.data[1]! & (COMPLEX >> 8)) return undefined;
  const shape = Array.from(elementsOf('int32', sizes.data) as Int32Array);
  const text = new TextDecoder('latin1').decode(name.data);
  const what = `${fileName}: ${quote(text)}`;
  if (byteCount(dtype, shape, what) !== (small || view.getUint32(at + 4, true))) throw cutShort(what);
  return { name: text, dtype, shape, dataOffset: at + (small ? 4 : 8) };
}

function elementAt(bytes: Uint8Array, at: number, what: string): Element & { readonly next: number } {
  if (at + 8 > bytes.length) throw cutShort(what);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const tag = view.getUint32(at, true);
  // Up to four bytes lie in the tag itself, whose upper half is then their number.
  const small = tag >>> 16;
  const size = small || view.getUint32(at + 4, true);
  const start = small ? at + 4 : at + 8;
  const end = start + size;
  if ((small ? size > 4 : false) || end > bytes.length) throw cutShort(what);
  const type = tag & 0xffff;
  const next = small ? at + 8 : type === COMPRESSED ? end : at + 8 + Math.ceil(size / 8) * 8;
  return { type, data: bytes.subarray(start, end), next };
}

/** A compressed element is one element of zlib data. */
function expand(data: Uint8Array, fileName: string): Element {
  const whole = unzlib(data, (start) => 8 + new DataView(start.buffer, start.byteOffset).getUint32(4, true), fileName);
  return elementAt(whole, 0, fileName);
}

/** Array flags, dimensions, name, elements. */
function readMatrix(bytes: Uint8Array, fileName: string): { name: string; values: NdArray } | undefined {
  const parts = elements(bytes, fileName);
  const next = (): Element => {
    const { value } = parts.next();
    if (!value) throw cutShort(fileName);
    return value;
  };
  const flags = next();
  const sizes = next();
  const name = quote(new TextDecoder('latin1').decode(next().data));
  if (flags.data.length !== 8 || NUMBERS[sizes.type] !== 'int32' || sizes.data.length % 4) throw cutShort(fileName);
  const flag = new DataView(flags.data.buffer, flags.data.byteOffset).getUint32(0, true);
  const dtype = CLASSES[flag & 255];
  if (!dtype || flag & COMPLEX) return undefined;

  const what = `${fileName}: ${name}`;
  const shape = Array.from(elementsOf('int32', sizes.data) as Int32Array);
  const { type, data } = next();
  const stored = NUMBERS[type];
  if (!stored) throw new DataError(`${what} is stored as type ${type}, which is none of numbers; the file is damaged`);
  if (byteCount(stored, shape, what) !== data.length) {
    throw new DataError(
      `${what} holds ${data.length} bytes where ${stored} [${shape.join(', ')}] takes ${byteCount(stored, shape, what)}; the file is damaged`,
    );
  }
  const values: TypedArray = elementsOf(stored, data);
  return { name, values: { dtype: stored, shape, data: values } };
}

function cutShort(what: string): DataError {
  return new DataError(`${what} is cut short or damaged in its structure; copy or download it again`);
}
