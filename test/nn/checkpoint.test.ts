import { describe, expect, it } from 'vitest';
import type { ImageSet } from '../../src/data/image-set.js';
import { DataError, UsageError } from '../../src/errors.js';
import type { NdArray } from '../../src/formats/array.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import {
  type Checkpoint,
  decodeCheckpoint,
  encodeCheckpoint,
  fingerprint,
  fingerprints,
  requireSameData,
} from '../../src/nn/checkpoint.js';
import { isStatistic } from '../../src/nn/network.js';
import { encodeNetwork } from '../../src/nn/network-file.js';
import { noise } from '../support/numbers.js';
import { data, OPTIONS, reference } from '../support/training.js';

const network = reference.network();
const velocity = new Map(
  [...network.state]
    .filter(([name]) => !isStatistic(name))
    .map(([name, { shape, data }], i) => [name, { shape, data: noise(data.length, i) }]),
);
const checkpoint: Checkpoint = {
  state: { network: { ...network, batchesTracked: 4 }, velocity, step: 4 },
  options: OPTIONS,
  data: await fingerprints(data, network),
};

describe('a checkpoint', () => {
  it('holds weights, momentum, options and fingerprints, bit for bit', () => {
    expect(decodeCheckpoint(encodeCheckpoint(checkpoint), 'saved')).toEqual(checkpoint);
  });

  const { tensors, metadata } = readSafetensors(encodeCheckpoint(checkpoint), 'saved');
  const training = JSON.parse(metadata.training!);
  const rewritten = (change: { tensors?: Map<string, NdArray>; training?: unknown }) =>
    writeSafetensors(change.tensors ?? tensors, {
      ...metadata,
      training: 'training' in change ? JSON.stringify(change.training) : metadata.training!,
    });
  const without = (name: string) => new Map([...tensors].filter(([key]) => key !== name));
  const half: NdArray = { dtype: 'float16', shape: [10], data: new Uint16Array(10) };

  it.each<[string, Uint8Array, RegExp]>([
    ['a network', encodeNetwork(network), /^saved is not a checkpoint: it has no training state/],
    ['a file cut short', encodeCheckpoint(checkpoint).subarray(0, -100), /^saved/],
    ['a missing weight', rewritten({ tensors: without('fc.bias') }), /needs the tensor fc\.bias/],
    [
      'a missing momentum',
      rewritten({ tensors: without('velocity.fc.bias') }),
      /^saved: its training state is damaged/,
    ],
    [
      'a momentum of another type',
      rewritten({ tensors: new Map([...tensors, ['velocity.fc.bias', half]]) }),
      /training state is damaged/,
    ],
    ['no options', rewritten({ training: { ...training, options: undefined } }), /training state is damaged/],
    ['no fingerprints', rewritten({ training: { ...training, data: {} } }), /training state is damaged/],
    ['a step past the end', rewritten({ training: { ...training, step: 7 } }), /training state is damaged/],
    ['a step that is none', rewritten({ training: { ...training, step: -1 } }), /training state is damaged/],
    ['a training state of null', rewritten({ training: null }), /training state is damaged/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => decodeCheckpoint(bytes, 'saved')).toThrow(DataError);
    expect(() => decodeCheckpoint(bytes, 'saved')).toThrow(message);
  });
});

describe('fingerprints', () => {
  const set = data.inDistribution;
  const changed = (change: Partial<ImageSet>) => fingerprint({ ...set, ...change });

  it('are SHA-256 of pixels and labels', async () => {
    const abc: ImageSet = { name: 'abc', images: new TextEncoder().encode('abc'), count: 1, height: 1, width: 1 };
    // The test vector of FIPS 180-4.
    expect(await fingerprint(abc)).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });

  it('tell any other pixel, label or weight, not names', async () => {
    const same = await fingerprint(set);
    expect(await changed({ name: 'other' })).toBe(same);
    expect(await changed({ images: set.images.map((pixel, i) => (i === 9000 ? pixel ^ 1 : pixel)) })).not.toBe(same);
    expect(await changed({ labels: set.labels!.map((label, i) => (i === 9 ? label + 1 : label)) })).not.toBe(same);
    const state = new Map(network.state);
    state.set('fc.bias', { shape: [10], data: new Float32Array(10) });
    expect(await fingerprints(data, { ...network, state })).not.toEqual(await fingerprints(data, network));
  });

  it('refuse to go on with others, naming what differs', async () => {
    expect(() => requireSameData(checkpoint, checkpoint.data, 'run')).not.toThrow();
    const check = (change: Partial<Checkpoint['data']>) => () =>
      requireSameData(checkpoint, { ...checkpoint.data, ...change }, 'run');
    expect(check({ inDistribution: 'x' })).toThrow(UsageError);
    expect(check({ inDistribution: 'x' })).toThrow(
      /^the in-distribution images are not those that the run in run began/,
    );
    expect(check({ outliers: 'x' })).toThrow(/^the outliers are not those/);
    expect(check({ outliers: undefined })).toThrow(/^the outliers are not those/);
    expect(check({ weights: 'x' })).toThrow(/^the weights are not those/);
  });
});
