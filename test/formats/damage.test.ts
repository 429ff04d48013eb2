import { readFileSync } from 'node:fs';
import { gzipSync, unzipSync, zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { imageSetFromCifar } from '../../src/data/image-set.js';
import { DataError } from '../../src/errors.js';
import type { NdArray } from '../../src/formats/array.js';
import { readNpy } from '../../src/formats/npy.js';
import { readNpz } from '../../src/formats/npz.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { readStateDict } from '../../src/formats/state-dict.js';
import { writeTorch } from '../../src/formats/torch-writer.js';
import { cifarBatch, tar, tarEntry } from './support/cifar.js';

const fixture = (path: string) => new Uint8Array(readFileSync(new URL(`../fixtures/${path}`, import.meta.url)));

function readAllOfNpz(bytes: Uint8Array): void {
  const npz = readNpz(bytes, 'x');
  for (const name of npz.names) npz.get(name);
}

const legacy = fixture('reference/wrn-10-1.legacy.pt');
const tensors = new Map<string, NdArray>([
  ['weight', { dtype: 'float32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
  ['steps', { dtype: 'int64', shape: [], data: BigInt64Array.of(1n) }],
]);

const views = unzipSync(fixture('reference/views.pt'));

interface Format {
  name: string;
  bytes: Uint8Array;
  /** Changes fall within this many bytes from the start, where the structure is. */
  structure: number;
  read: (bytes: Uint8Array) => unknown;
}
const formats: Format[] = [
  { name: 'stored .npz', bytes: fixture('formats/stored.npz'), structure: 1e9, read: readAllOfNpz },
  { name: 'deflated .npz', bytes: fixture('formats/deflated.npz'), structure: 1e9, read: readAllOfNpz },
  {
    name: '.safetensors',
    bytes: writeSafetensors(tensors, { network: 'x' }),
    structure: 180,
    read: (bytes) => readSafetensors(bytes, 'x'),
  },
  { name: 'zip .pt', bytes: writeTorch(tensors), structure: 1e9, read: (bytes) => readStateDict(bytes, 'x') },
  {
    name: 'views.pt',
    bytes: fixture('reference/views.pt'),
    structure: 1e9,
    read: (bytes) => readStateDict(bytes, 'x'),
  },
  {
    name: 'the pickle of views.pt, with its checksum put right',
    bytes: views['views/data.pkl'],
    structure: 1e9,
    read: (bytes) => readStateDict(zipSync({ ...views, 'views/data.pkl': bytes }, { level: 0 }), 'x'),
  },
  { name: '.npy', bytes: fixture('formats/version1.npy'), structure: 80, read: (bytes) => readNpy(bytes, 'x') },
  { name: 'legacy .pt', bytes: legacy, structure: 6000, read: (bytes) => readStateDict(bytes, 'x') },
  {
    name: 'CIFAR .tar.gz',
    bytes: gzipSync(tar(tarEntry('test_batch.bin', cifarBatch(1)))),
    structure: 1e9,
    read: (bytes) => imageSetFromCifar(bytes, 'test', 'x'),
  },
];

/** Numbers that are the same in every run: Park and Miller's generator. */
function randomIntegers(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed * 48271) % 2147483647;
    return seed % below;
  };
}

describe.each(formats)('$name', ({ bytes, structure, read }) => {
  it('is read whole', () => void read(bytes));

  it('is refused at whatever length it is cut', () => {
    const step = Math.max(1, Math.floor(bytes.length / 300));
    for (let length = 0; length < bytes.length; length += step) {
      expect(() => read(bytes.slice(0, length)), `${length} bytes`).toThrow(DataError);
    }
    expect(() => read(bytes.slice(0, -1))).toThrow(DataError);
  });

  it('with bytes changed, is read or refused, but never fails otherwise', () => {
    const random = randomIntegers(1);
    let refused = 0;
    for (let attempt = 0; attempt < 300; attempt++) {
      const changed = bytes.slice();
      for (let change = random(4); change >= 0; change--) {
        changed[random(Math.min(structure, bytes.length))] = [random(256), 0, 255][random(3)];
      }
      try {
        read(changed);
      } catch (error) {
        if (!(error instanceof DataError)) throw error;
        expect(error.message).toMatch(/^x.*; [^\n]*$/);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(50);
  });
});
