import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bytesOf, type DType, type NdArray, rowMajorStrides } from '../../src/formats/array.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { readStateDict } from '../../src/formats/state-dict.js';
import { storageTypes } from '../../src/formats/torch.js';
import { writeTorch } from '../../src/formats/torch-writer.js';

const fixtures = fileURLToPath(new URL('../fixtures/reference/', import.meta.url));
const shared = fileURLToPath(new URL('../../../shared/', import.meta.url));
const weightsIn = (folder: string) =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => /\.(pt|pth|tar)$/.test(name))
        .map((name) => join(folder, name))
    : [];
const read = (path: string) => readStateDict(new Uint8Array(readFileSync(path)), path).tensors;

/** Types, shapes and bits, which is more than equal numbers: NaN and -0 count. */
const bits = (tensors: ReadonlyMap<string, NdArray>) =>
  Array.from(tensors, ([name, array]) => [
    name,
    array.dtype,
    array.shape,
    Buffer.from(bytesOf(array)).toString('base64'),
  ]);

/** Every pattern of bits there is in two bytes, and what else a type can hold, as each type. */
const everyBit = (dtype: DType, itemSize: number): NdArray => {
  const bytes = Uint8Array.from({ length: 8192 }, (_, i) => (dtype === 'bool' ? i & 1 : (i * 167 + (i >> 8)) & 255));
  const types = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array } as const;
  const data = new types[itemSize as 1 | 2 | 4 | 8](bytes.buffer);
  return { dtype, shape: [2, data.length / 2], data };
};
const SIZES: Readonly<Record<DType, number>> = {
  float16: 2,
  bfloat16: 2,
  float32: 4,
  float64: 8,
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  bool: 1,
};
const everyType = (dtypes: readonly DType[]) =>
  new Map<string, NdArray>([
    ...dtypes.map((dtype) => [dtype, everyBit(dtype, SIZES[dtype])] as const),
    ['scalar', { dtype: 'int64', shape: [], data: BigInt64Array.of(-1n) }],
    ['empty', { dtype: 'float32', shape: [0, 3], data: new Float32Array() }],
    ['a name with é and "quotes"', { dtype: 'float32', shape: [1], data: Float32Array.of(-0) }],
  ]);
const ALL = Object.keys(SIZES) as DType[];
const TORCH = ALL.filter((dtype) => [...storageTypes.values()].includes(dtype));

const files = [...weightsIn(fixtures), ...weightsIn(join(shared, 'reference')), ...weightsIn(join(shared, 'weights'))];

describe(`a round trip is the same to the bit (${existsSync(shared) ? 'with' : 'without'} the files of ../shared)`, () => {
  it.each(files)('%s', (path) => {
    const tensors = read(path);
    expect(tensors.size).toBeGreaterThan(1);
    expect(bits(readStateDict(writeTorch(tensors), 'x').tensors)).toEqual(bits(tensors));
    expect(bits(readStateDict(writeSafetensors(tensors), 'x').tensors)).toEqual(bits(tensors));
    const there = readStateDict(writeSafetensors(tensors), 'x').tensors;
    const back = readStateDict(writeTorch(there), 'x').tensors;
    expect(bits(back)).toEqual(bits(tensors));
  });

  it('every type, whatever its bits', () => {
    const safetensors = everyType(ALL);
    expect(bits(readStateDict(writeSafetensors(safetensors), 'x').tensors)).toEqual(bits(safetensors));
    const torch = everyType(TORCH);
    expect(TORCH).toHaveLength(10);
    expect(bits(readStateDict(writeTorch(torch), 'x').tensors)).toEqual(bits(torch));
  });
});

const python = spawnSync('python3', ['--version']).status === 0;
describe.skipIf(!python)('what is written for PyTorch, read by Python’s own pickle (skipped without python3)', () => {
  const script = fileURLToPath(new URL('../fixtures/formats/read_torch.py', import.meta.url));

  it.each<[string, () => ReadonlyMap<string, NdArray>]>([
    ['every type', () => everyType(TORCH)],
    ...files
      .filter((path) => path.startsWith(fixtures))
      .map((path): [string, () => ReadonlyMap<string, NdArray>] => [path, () => read(path)]),
  ])('%s', (_, make) => {
    const tensors = make();
    const folder = mkdtempSync(join(tmpdir(), 'energate-'));
    try {
      writeFileSync(join(folder, 'w.pt'), writeTorch(tensors));
      const { stdout, stderr, status } = spawnSync('python3', [script, join(folder, 'w.pt')], { encoding: 'utf8' });
      expect(stderr).toBe('');
      expect(status).toBe(0);
      const expected = Array.from(tensors, ([name, array]) => {
        const type = [...storageTypes].find(([, dtype]) => dtype === array.dtype)![0].replace('torch.', '');
        const sha256 = createHash('sha256').update(bytesOf(array)).digest('hex');
        return [name, { type, shape: [...array.shape], stride: rowMajorStrides(array.shape), offset: 0, sha256 }];
      });
      expect(Object.entries(JSON.parse(stdout))).toEqual(expected);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
