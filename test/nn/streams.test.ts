import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { create } from 'webgpu';
import type { ImageSet, ImageSource } from '../../src/data/image-set.js';
import { DataError } from '../../src/errors.js';
import { Engine } from '../../src/gpu/engine.js';
import { decodeCheckpoint, encodeCheckpoint, fingerprints } from '../../src/nn/checkpoint.js';
import { Classifier } from '../../src/nn/classifier.js';
import { Trainer, type TrainingData } from '../../src/nn/trainer.js';
import { readImageSet } from '../../src/node/images.js';
import { asSource } from '../support/sources.js';
import { sparseNpy } from '../support/sparse.js';
import { data, expectSameBits, finish, OPTIONS, reference } from '../support/training.js';

// Default limits: a set of more than 128 MiB does not fit one binding. The features of other tests, for the same kernels.
const gpu = create([]);
const adapter = (await gpu.requestAdapter())!;
const features = (['subgroups', 'shader-f16'] as GPUFeatureName[]).filter((feature) => adapter.features.has(feature));
const device = await adapter.requestDevice({ requiredFeatures: features });
const engine = await Engine.from(device);
afterAll(() => {
  engine.destroy();
  device.destroy();
  // Dawn's device lives as long as this.
  expect(gpu).toBeDefined();
});

const COUNT = 45_000;

/** The set's images over and over, `COUNT` of them. */
function repeated(set: ImageSet): ImageSet {
  const images = new Uint8Array(COUNT * 3072);
  for (let at = 0; at < images.length; at += set.images.length) {
    images.set(set.images.subarray(0, Math.min(set.images.length, images.length - at)), at);
  }
  return {
    ...set,
    images,
    count: COUNT,
    ...(set.labels && { labels: Int32Array.from({ length: COUNT }, (_, i) => set.labels![i % set.count]!) }),
  };
}

const whole = { inDistribution: repeated(data.inDistribution), outliers: repeated(data.outliers) };
const streamed = { inDistribution: asSource(whole.inDistribution), outliers: asSource(whole.outliers) };
const begin = (sets: TrainingData, start: Parameters<typeof Trainer.create>[1] = reference.network()) =>
  Trainer.create(engine, start, sets, OPTIONS);

it('training on sets beyond the binding limit is, to the bit, that on sets in memory; also when it goes on from a checkpoint', async () => {
  const first = await begin(whole);
  const expected = await finish(first);
  first.destroy();

  const second = await begin(streamed);
  expect(second.compiled.bytes, 'no more than a batch is on the device').toBeLessThan(50e6);
  const actual = await finish(second);
  second.destroy();
  expectSameBits(actual.state, expected.state);
  expect(actual.logs).toEqual(expected.logs);
  expect(streamed.outliers.reads, 'one read a step').toBe(OPTIONS.steps);

  const third = await begin(streamed);
  for (let step = 0; step < 3; step++) {
    await third.ready();
    third.submitStep();
  }
  const checkpoint = { state: await third.state(), options: third.options, data: await fingerprints(data) };
  third.destroy();
  const fourth = await begin(streamed, decodeCheckpoint(encodeCheckpoint(checkpoint), 'saved').state);
  expectSameBits((await finish(fourth)).state, expected.state);
  fourth.destroy();
});

it('a fingerprint of a set that is streamed tells its images, and its labels', async () => {
  const of = async (inDistribution: ImageSource) => (await fingerprints({ inDistribution })).inDistribution;
  const { images } = whole.inDistribution;
  const same = await of(streamed.inDistribution);
  expect(await of(asSource(whole.inDistribution))).toBe(same);
  const changed = images.slice();
  changed[images.length - 1]! ^= 1;
  expect(await of(asSource({ ...whole.inDistribution, images: changed }))).not.toBe(same);
  expect(await of(asSource({ ...whole.inDistribution, labels: new Int32Array(COUNT) }))).not.toBe(same);
});

it('a read that fails ends the run with its error', async () => {
  const failing: ImageSource = {
    ...streamed.outliers,
    gather: async () => Promise.reject(new DataError('disk is gone')),
  };
  const trainer = await begin({ ...streamed, outliers: failing });
  await expect(trainer.run(() => {})).rejects.toThrow(new DataError('disk is gone'));
  trainer.destroy();
});

it('scoring reads ahead while the device works', async () => {
  const set = reference.images('in');
  const classifier = await Classifier.create(engine, reference.network(), { batch: 3 });
  const expected = await classifier.run(set);
  const events: string[] = [];
  const source: ImageSource = {
    ...asSource(set),
    async read(start, count) {
      events.push(`read ${start}`);
      return set.images.slice(start * 3072, (start + count) * 3072);
    },
  };
  const outputs = await classifier.run(source, { onProgress: (done) => events.push(`done ${done}`) });
  classifier.destroy();
  expect(outputs).toEqual(expected);
  // Two batches ahead of the results: one that the device works at, one that is read.
  expect(events.indexOf('read 6')).toBeLessThan(events.indexOf('done 3'));
  expect(events.filter((event) => event.startsWith('read'))).toHaveLength(6);
  expect(events.at(-1)).toBe('done 18');
});

it('300,000 images of a .npy file are scored in flat memory', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'energate-'));
  try {
    const path = join(folder, '300k.npy');
    const count = 300_000;
    await (await sparseNpy(path, count)).close();
    const set = (await readImageSet(path)) as ImageSource;
    const before = process.memoryUsage().rss;
    let most = 0;
    let sum = 0;
    for (let start = 0; start < count; start += 1000) {
      const bytes = await set.read(start, 1000);
      sum += bytes[0]!;
      most = Math.max(most, process.memoryUsage().rss - before);
    }
    expect(sum).toBe(0);
    expect(most / 1e6).toBeLessThan(150);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
