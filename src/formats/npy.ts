import { DataError } from '../errors.js';
import {
  byteCount,
  bytesOf,
  type DType,
  elementsOf,
  gatherStrided,
  itemSize,
  type NdArray,
  quote,
  rowMajorStrides,
} from './array.js';

/** NumPy's names of the types, little-endian; bfloat16 has none. */
const descriptions: Readonly<Record<Exclude<DType, 'bfloat16'>, string>> = {
  float16: '<f2',
  float32: '<f4',
  float64: '<f8',
  int8: '|i1',
  uint8: '|u1',
  int16: '<i2',
  uint16: '<u2',
  int32: '<i4',
  uint32: '<u4',
  int64: '<i8',
  uint64: '<u8',
  bool: '|b1',
};
const dtypes = new Map(Object.entries(descriptions).map(([dtype, description]) => [description, dtype as DType]));

const MAGIC = [0x93, ...new TextEncoder().encode('NUMPY')];

/**
 * One array in NumPy's .npy format, versions 1 to 3, in C or Fortran order (the latter is transposed to C order).
 * `what` names the file, and the array within it, in messages. The array may share the memory of `bytes`.
 * @throws {DataError} if it is not such a file, is big-endian, or holds anything but numbers.
 */
export function readNpy(bytes: Uint8Array, what: string): NdArray {
  const { dtype, shape, fortran, dataOffset } = readNpyHeader(bytes, bytes.length, what);
  const elements = elementsOf(dtype, bytes.subarray(dataOffset));
  if (!fortran || elements.length === 0) return { dtype, shape, data: elements };
  const strides = rowMajorStrides([...shape].reverse()).reverse();
  return { dtype, shape, data: gatherStrided(dtype, elements, 0, shape, strides) };
}

export interface NpyHeader {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Whether the first axis varies fastest. */
  readonly fortran: boolean;
  /** Where the elements begin; they go on to the file's end. */
  readonly dataOffset: number;
}

/** More than NumPy's headers take for any array of numbers. */
export const MAX_NPY_HEADER = 1 << 16;

/** Whether `bytes` begin as a .npy file does. */
export const looksLikeNpy = (bytes: Uint8Array): boolean => MAGIC.every((byte, i) => bytes[i] === byte);

/**
 * What a .npy file begins with.
 * @param start the file from its beginning, the header whole
 * @param fileSize in bytes, which must be what type and shape take
 * @throws {DataError} as {@link readNpy}
 */
export function readNpyHeader(start: Uint8Array, fileSize: number, what: string): NpyHeader {
  const { header, dataOffset } = splitHeader(start, what);
  const dtype = readDType(header, what);
  const order = /'fortran_order': *(True|False)/.exec(header);
  const dimensions = /'shape': *\(([\d, ]*)\)/.exec(header);
  if (!order || !dimensions) throw new DataError(`${what} has no readable .npy header; save it again with numpy`);
  const shape = dimensions[1].split(',').flatMap((size) => (size.trim() ? [Number(size)] : []));

  const expected = byteCount(dtype, shape, what);
  const size = fileSize - dataOffset;
  if (size !== expected) {
    throw new DataError(
      `${what} holds ${size} bytes where ${dtype} [${shape.join(', ')}] takes ${expected}; the file is damaged`,
    );
  }
  return { dtype, shape, fortran: order[1] === 'True', dataOffset };
}

function splitHeader(bytes: Uint8Array, what: string): { header: string; dataOffset: number } {
  const version = bytes[6];
  const start = version === 1 ? 10 : 12;
  if (!looksLikeNpy(bytes) || version < 1 || version > 3 || bytes.length < start) {
    throw new DataError(`${what} is not a .npy array of version 1, 2 or 3; save it with numpy`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const dataOffset = start + (version === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (dataOffset > bytes.length) throw new DataError(`${what} is cut short within its header; copy it again`);
  return { header: new TextDecoder().decode(bytes.subarray(start, dataOffset)), dataOffset };
}

function readDType(header: string, what: string): DType {
  const description = /'descr': *'([^']*)'/.exec(header)?.[1];
  if (description === undefined) {
    throw new DataError(
      `${what} is not an array of plain numbers (no 'descr' of one type); save one array of one type`,
    );
  }
  const dtype = dtypes.get(description);
  if (dtype) return dtype;
  if (/^>[a-z]\d$/.test(description)) {
    throw new DataError(`${what} is big-endian (${description}); save array.astype('<${description.slice(1)}')`);
  }
  throw new DataError(
    `${what} is of type '${quote(description)}'; save it as numbers, such as array.astype('float32')`,
  );
}

/** The array as a .npy file of version 1. @throws {DataError} for bfloat16, which NumPy does not know. */
export function writeNpy(array: NdArray): Uint8Array {
  if (array.dtype === 'bfloat16') throw new DataError('a .npy file cannot hold bfloat16; convert the array to float32');
  const { dtype, shape } = array;
  const tuple = `(${shape.join(', ')}${shape.length === 1 ? ',' : ''})`;
  const dict = `{'descr': '${descriptions[dtype]}', 'fortran_order': False, 'shape': ${tuple}, }`;
  // The data begins at a multiple of 64, after a newline.
  const headerSize = Math.ceil((10 + dict.length + 1) / 64) * 64;
  const bytes = new Uint8Array(headerSize + array.data.length * itemSize(dtype));
  bytes.set([...MAGIC, 1, 0]);
  new DataView(bytes.buffer).setUint16(8, headerSize - 10, true);
  bytes.set(new TextEncoder().encode(`${dict.padEnd(headerSize - 11)}\n`), 10);
  bytes.set(bytesOf(array), headerSize);
  return bytes;
}
