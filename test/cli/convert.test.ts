import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { NdArray } from '../../src/formats/array.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { readStateDict } from '../../src/formats/state-dict.js';
import { CIFAR } from '../support/golden.js';
import { energate } from './support/run.js';
import { inProcess, WEIGHTS, workspace } from './support/workspace.js';

const { path } = workspace();
const read = (file: string) => readStateDict(readFileSync(file), file);
/** What only equal bits make equal. */
const bits = (tensors: ReadonlyMap<string, NdArray>) =>
  [...tensors].map(([name, { dtype, shape, data }]) => [
    name,
    dtype,
    shape,
    Buffer.from(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength).toString('hex'),
  ]);

it('convert: PyTorch to safetensors and back, bit for bit', async () => {
  const there = await energate(['convert', WEIGHTS, path('a.safetensors')]);
  expect(there).toEqual({ code: 0, stdout: 'a.safetensors: WRN-10-1, 10 classes, 77850 parameters\n', stderr: '' });
  expect(bits(read(path('a.safetensors')).tensors)).toEqual(bits(read(WEIGHTS).tensors));

  const back = await energate(['convert', path('a.safetensors'), path('b.pt'), '--quiet']);
  expect(back).toEqual({ code: 0, stdout: '', stderr: '' });
  expect(read(path('b.pt')).format).toBe('torch');
  expect(bits(read(path('b.pt')).tensors)).toEqual(bits(read(WEIGHTS).tensors));

  await inProcess(['convert', path('b.pt'), path('c.safetensors')]);
  expect(readFileSync(path('c.safetensors'))).toEqual(readFileSync(path('a.safetensors')));
});

it('convert --normalize: into the metadata, and there it stays', async () => {
  const normalization = async (...args: string[]) => {
    const result = await inProcess(['convert', ...args]);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    return JSON.parse(readSafetensors(readFileSync(args[1]!), args[1]!).metadata.normalization!);
  };
  expect(await normalization(WEIGHTS, path('d.safetensors'))).toEqual(CIFAR);
  const none = { mean: [0, 0, 0], std: [1, 1, 1] };
  expect(await normalization(WEIGHTS, path('e.safetensors'), '--normalize', 'none')).toEqual(none);
  expect(await normalization(path('e.safetensors'), path('f.safetensors'))).toEqual(none);
});
