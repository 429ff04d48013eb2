import { DataError } from '../errors.js';
import { bytesOf, type NdArray, quote, rowMajorStrides } from './array.js';
import { storageTypes } from './torch.js';
import { writeZip } from './zip.js';

/** PyTorch aligns each storage so that it can be mapped into memory. */
const ALIGNMENT = 64;

/**
 * A file in PyTorch's zip format that `torch.load` reads, also with `weights_only=True`: an OrderedDict of the tensors, each
 * with a storage of its own on the CPU. Equal tensors give equal bytes.
 * @throws {DataError} for a type that PyTorch has no storage for (uint16, uint32, uint64), naming the tensor.
 */
export function writeTorch(tensors: ReadonlyMap<string, NdArray>): Uint8Array {
  const pickle = new PickleWriter();
  pickle.opcode(0x80, 2); // PROTO
  pickle.emptyOrderedDict();
  pickle.opcode(0x28); // MARK
  const storages: [string, Uint8Array][] = [];
  for (const [name, array] of tensors) {
    const key = String(storages.length);
    pickle.text(name);
    pickle.tensor(name, array, key);
    storages.push([`archive/data/${key}`, bytesOf(array)]);
  }
  pickle.opcode(0x75, 0x2e); // SETITEMS, STOP
  const encoder = new TextEncoder();
  const entries: [string, Uint8Array][] = [
    ['archive/data.pkl', Uint8Array.from(pickle.bytes)],
    ['archive/byteorder', encoder.encode('little')],
    ...storages,
    ['archive/version', encoder.encode('3\n')],
  ];
  return writeZip(new Map(entries), ALIGNMENT);
}

/** Pickle protocol 2, without a memo: each tensor spells out what it needs. */
class PickleWriter {
  readonly bytes: number[] = [];

  opcode(...bytes: number[]): void {
    for (const byte of bytes) this.bytes.push(byte);
  }

  /** BINUNICODE */
  text(text: string): void {
    const encoded = new TextEncoder().encode(text);
    this.opcode(0x58, ...uint32(encoded.length), ...encoded);
  }

  /** GLOBAL */
  global(module: string, name: string): void {
    this.opcode(0x63, ...new TextEncoder().encode(`${module}\n${name}\n`));
  }

  /** BININT, or LONG1 where it takes more than 31 bits */
  integer(value: number): void {
    if (value < 2 ** 31) this.opcode(0x4a, ...uint32(value));
    else this.opcode(0x8a, 8, ...uint32(value % 2 ** 32), ...uint32(Math.floor(value / 2 ** 32)));
  }

  /** MARK, the numbers, TUPLE */
  tuple(values: readonly number[]): void {
    this.opcode(0x28);
    for (const value of values) this.integer(value);
    this.opcode(0x74);
  }

  /** A call (REDUCE) of OrderedDict with an EMPTY_TUPLE */
  emptyOrderedDict(): void {
    this.global('collections', 'OrderedDict');
    this.opcode(0x29, 0x52);
  }

  /** torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks) */
  tensor(name: string, { dtype, shape, data }: NdArray, key: string): void {
    const type = [...storageTypes].find(([, itsDType]) => itsDType === dtype)?.[0];
    if (!type) throw new DataError(`PyTorch has no storage of ${dtype} for ${quote(name)}; convert it to int64`);
    const [module, typeName] = type.split('.');
    this.global('torch._utils', '_rebuild_tensor_v2');
    this.opcode(0x28, 0x28); // MARK, MARK
    this.text('storage');
    this.global(module, typeName);
    this.text(key);
    this.text('cpu');
    this.integer(data.length);
    this.opcode(0x74, 0x51); // TUPLE, BINPERSID
    this.integer(0);
    this.tuple(shape);
    this.tuple(rowMajorStrides(shape));
    this.opcode(0x89); // NEWFALSE
    this.emptyOrderedDict();
    this.opcode(0x74, 0x52); // TUPLE, REDUCE
  }
}

function uint32(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 255);
}
