import { DataError } from '../errors.js';

export type DType =
  | 'float16'
  | 'bfloat16'
  | 'float32'
  | 'float64'
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'bool';

export type TypedArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

/**
 * A dense array in row-major (C) order. `data` holds the elements as JavaScript's array of that type; float16 and
 * bfloat16 as their bits in a Uint16Array, bool as 0 or 1 in a Uint8Array. `shape` is empty for a scalar.
 *
 * Arrays that were read from a file may share its bytes, so they are not to be written to.
 */
export interface NdArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

interface ArrayType {
  new (length: number): TypedArray;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): TypedArray;
  readonly BYTES_PER_ELEMENT: number;
}

const arrayTypes: Record<DType, ArrayType> = {
  float16: Uint16Array,
  bfloat16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
};

/** Bytes of one element. */
export function itemSize(dtype: DType): number {
  return arrayTypes[dtype].BYTES_PER_ELEMENT;
}

/** Number of elements of an array of this shape: 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}

/** Whether `value` is an array, among the other things that a file may hold. */
export function isNdArray(value: unknown): value is NdArray {
  return typeof value === 'object' && value !== null && 'dtype' in value && 'shape' in value && 'data' in value;
}

/** Little-endian elements: a view of `bytes`, or a copy where their position does not suit the type. */
export function elementsOf(dtype: DType, bytes: Uint8Array): TypedArray {
  const type = arrayTypes[dtype];
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new type(aligned.buffer, aligned.byteOffset, bytes.length / type.BYTES_PER_ELEMENT);
}

/** The bytes of an array, without a copy. */
export function bytesOf({ data }: NdArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Distance in elements between neighbours along each axis of a row-major array. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

/** The elements of a strided view of `source`, copied into row-major order. Strides count elements. */
export function gatherStrided(
  dtype: DType,
  source: TypedArray,
  offset: number,
  shape: readonly number[],
  strides: readonly number[],
): TypedArray {
  const gathered = new arrayTypes[dtype](elementCount(shape));
  const index = new Array<number>(shape.length).fill(0);
  let at = offset;
  for (let i = 0; i < gathered.length; i++) {
    gathered[i] = source[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) break;
      at -= shape[axis] * strides[axis];
      index[axis] = 0;
    }
  }
  return gathered;
}

/**
 * The elements as float32: exact from float16, bfloat16, bool and integers of up to 24 bits, rounded to nearest from
 * the others. A float32 array's own data is returned as it is.
 */
export function toFloat32({ dtype, data }: NdArray): Float32Array {
  if (data instanceof Float32Array) return data;
  const floats = new Float32Array(data.length);
  if (dtype === 'bfloat16') {
    const bits = new Uint32Array(floats.buffer);
    for (let i = 0; i < bits.length; i++) bits[i] = Number(data[i]) << 16;
  } else if (dtype === 'float16') {
    for (let i = 0; i < floats.length; i++) floats[i] = halfToNumber(Number(data[i]));
  } else {
    for (let i = 0; i < floats.length; i++) floats[i] = Number(data[i]);
  }
  return floats;
}

/** The bits of the nearest float16, ties to even; values past 65504 become infinite. */
export function toFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.slice().buffer);
  return Uint16Array.from(bits, (word) => {
    const sign = (word >>> 16) & 0x8000;
    const exponent = (word >>> 23) & 255;
    const fraction = word & 0x7fffff;
    if (exponent === 255) return sign | 0x7c00 | (fraction ? 0x200 : 0);
    // Below 2^-14 the exponent stays at its least, and the leading one moves into the fraction.
    const shift = exponent > 112 ? 13 : 126 - exponent;
    if (shift > 24) return sign;
    const significand = exponent > 112 ? fraction | ((exponent - 112) << 23) : fraction | 0x800000;
    const kept = significand >>> shift;
    const rest = significand & ((1 << shift) - 1);
    const half = 1 << (shift - 1);
    // A carry runs into the exponent, as it should.
    const rounded = kept + (rest > half || (rest === half && kept & 1) ? 1 : 0);
    return sign | Math.min(rounded, 0x7c00);
  });
}

/** IEEE 754 binary16: 1 sign bit, 5 exponent bits (bias 15), 10 fraction bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
}

/**
 * The bytes that an array of this type and shape takes.
 * @throws {DataError} naming `what` if a size is not a count, or the total is more than can be addressed.
 */
export function byteCount(dtype: DType, shape: readonly number[], what: string): number {
  const bytes = elementCount(shape) * itemSize(dtype);
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0) || !Number.isSafeInteger(bytes)) {
    throw new DataError(`${what} has the impossible shape [${quote(shape.join(', '))}]; the file is damaged`);
  }
  return bytes;
}

/** Text from a file, made fit for a one-line message: printable and short. */
export function quote(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]/g, '?');
  return printable.length > 80 ? `${printable.slice(0, 77)}...` : printable;
}
