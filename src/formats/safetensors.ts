import { DataError } from '../errors.js';
import { byteCount, bytesOf, type DType, elementsOf, type NdArray, quote } from './array.js';

export interface Safetensors {
  /** In the order of the file's header. They may share the memory of the file's bytes. */
  readonly tensors: Map<string, NdArray>;
  /** The header's `__metadata__`. */
  readonly metadata: Record<string, string>;
}

const typeNames: Readonly<Record<DType, string>> = {
  float16: 'F16',
  bfloat16: 'BF16',
  float32: 'F32',
  float64: 'F64',
  int8: 'I8',
  uint8: 'U8',
  int16: 'I16',
  uint16: 'U16',
  int32: 'I32',
  uint32: 'U32',
  int64: 'I64',
  uint64: 'U64',
  bool: 'BOOL',
};
const dtypes = new Map(Object.entries(typeNames).map(([dtype, name]) => [name, dtype as DType]));

const METADATA = '__metadata__';

/**
 * A safetensors file: a header's length (8 bytes), the header (JSON), then the tensors' bytes without a gap.
 * @throws {DataError} if anything in it is not as the format demands, naming the tensor.
 */
export function readSafetensors(bytes: Uint8Array, fileName: string): Safetensors {
  const { header, body } = splitHeader(bytes, fileName);
  const tensors = new Map<string, NdArray>();
  const ranges: [start: number, end: number][] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === METADATA) {
      metadata = readMetadata(value, fileName);
      continue;
    }
    const { dtype, shape, start, end } = readEntry(value, body.length, `${fileName}: ${quote(name)}`);
    tensors.set(name, { dtype, shape, data: elementsOf(dtype, body.subarray(start, end)) });
    ranges.push([start, end]);
  }
  checkCover(ranges, body.length, fileName);
  return { tensors, metadata };
}

function splitHeader(bytes: Uint8Array, fileName: string): { header: object; body: Uint8Array } {
  if (bytes.length < 8)
    throw new DataError(`${fileName} has only ${bytes.length} bytes; it is cut short or not a safetensors file`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > bytes.length - 8) {
    throw new DataError(
      `${fileName} has ${bytes.length - 8} bytes where its header takes ${length}; it is cut short or not a safetensors file`,
    );
  }
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, 8 + length)));
  } catch {
    throw new DataError(`${fileName} has a header that is not JSON; it is damaged or not a safetensors file`);
  }
  if (!isRecord(header)) throw new DataError(`${fileName} has a header that is not a JSON object; the file is damaged`);
  return { header, body: bytes.subarray(8 + length) };
}

function readMetadata(value: unknown, fileName: string): Record<string, string> {
  if (!isRecord(value) || !Object.values(value).every((text) => typeof text === 'string')) {
    throw new DataError(`${fileName}: ${METADATA} must map names to strings; write the file again`);
  }
  return value as Record<string, string>;
}

function readEntry(value: unknown, bodyLength: number, what: string) {
  if (
    !isRecord(value) ||
    !isNumbers(value.shape) ||
    !isNumbers(value.data_offsets) ||
    typeof value.dtype !== 'string'
  ) {
    throw new DataError(`${what} lacks a proper dtype, shape or data_offsets; the file is damaged`);
  }
  const dtype = dtypes.get(value.dtype);
  if (!dtype) throw new DataError(`${what} is of type ${quote(value.dtype)}; convert it to F32`);
  const { shape, data_offsets: offsets } = value;
  const size = byteCount(dtype, shape, what);
  const [start, end] = offsets;
  if (offsets.length !== 2 || !offsets.every(Number.isSafeInteger) || start < 0 || start > end || end > bodyLength) {
    throw new DataError(`${what} lies at bytes [${offsets}] of ${bodyLength}; the file is cut short or damaged`);
  }
  if (end - start !== size) {
    throw new DataError(
      `${what} has ${end - start} bytes where ${dtype} [${shape.join(', ')}] takes ${size}; the file is damaged`,
    );
  }
  return { dtype, shape, start, end };
}

/** Every byte of the body belongs to exactly one tensor. */
function checkCover(ranges: [start: number, end: number][], bodyLength: number, fileName: string): void {
  ranges.sort(([a, aEnd], [b, bEnd]) => a - b || aEnd - bEnd);
  let covered = 0;
  for (const [start, end] of ranges) {
    if (start !== covered) {
      throw new DataError(
        `${fileName} has tensors that ${start < covered ? 'overlap' : 'leave a hole'} at byte ${start}; the file is damaged`,
      );
    }
    covered = end;
  }
  if (covered !== bodyLength) {
    throw new DataError(`${fileName} has ${bodyLength - covered} bytes that belong to no tensor; the file is damaged`);
  }
}

/** A safetensors file of the tensors in the order given, at offsets that follow it. Equal input gives equal bytes. */
export function writeSafetensors(
  tensors: ReadonlyMap<string, NdArray>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  if (tensors.has(METADATA))
    throw new DataError(`a safetensors file cannot hold a tensor named ${METADATA}; rename it`);
  let size = 0;
  const entries: [string, unknown][] = Object.keys(metadata).length ? [[METADATA, metadata]] : [];
  for (const [name, { dtype, shape, data }] of tensors) {
    entries.push([name, { dtype: typeNames[dtype], shape, data_offsets: [size, size + data.byteLength] }]);
    size += data.byteLength;
  }
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  // Padding with spaces keeps the tensors at a multiple of 8 bytes.
  const headerLength = Math.ceil(header.length / 8) * 8;
  const bytes = new Uint8Array(8 + headerLength + size);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.fill(0x20, 8, 8 + headerLength);
  bytes.set(header, 8);
  let at = 8 + headerLength;
  for (const array of tensors.values()) {
    bytes.set(bytesOf(array), at);
    at += array.data.byteLength;
  }
  return bytes;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'number');
}
