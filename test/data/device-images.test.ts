import { describe, expect, it } from 'vitest';
import { imageSource, uploadImages } from '../../src/data/device-images.js';
import { Feed } from '../../src/data/feed.js';
import type { ImageSet, ImageSource } from '../../src/data/image-set.js';
import { Sampler } from '../../src/data/sampler.js';
import { UsageError } from '../../src/errors.js';
import { Buffers } from '../../src/gpu/buffers.js';
import type { Engine } from '../../src/gpu/engine.js';
import { Graph } from '../../src/graph/graph.js';
import { gatherImages } from '../../src/graph/ops/gather-images.js';
import { Program } from '../../src/graph/program.js';
import { engine } from '../support/gpu.js';

/** Seven images of 2 x 2 pixels, 12 bytes each, no two alike. */
const set: ImageSet = {
  name: 'tiny',
  images: Uint8Array.from({ length: 7 * 12 }, (_, i) => (i * 37) % 251),
  count: 7,
  height: 2,
  width: 2,
};

/** The engine of this file, as it would be on a device with smaller limits. */
function limited(limits: { maxStorageBufferBindingSize: number; maxBufferSize: number }): Engine {
  return {
    device: { limits },
    createBuffer: engine.createBuffer.bind(engine),
    destroyBuffer: engine.destroyBuffer.bind(engine),
    write: engine.write.bind(engine),
  } as unknown as Engine;
}
const LIMITS = { maxStorageBufferBindingSize: 40, maxBufferSize: 1000 };

describe('an image set on the GPU', () => {
  it('is one buffer where the limits allow', async () => {
    const buffers = new Buffers(engine);
    const { chunks } = await uploadImages(buffers, set, 4);
    expect(chunks).toMatchObject([{ start: 0, count: 7 }]);
    buffers.destroy();
  });

  it.each([LIMITS, { maxStorageBufferBindingSize: 1000, maxBufferSize: 40 }])(
    'is cut between images by %j',
    async (limits) => {
      const buffers = new Buffers(limited(limits));
      const { chunks } = await uploadImages(buffers, set, 4);
      expect(chunks.map(({ start, count }) => [start, count])).toEqual([
        [0, 3],
        [3, 3],
        [6, 1],
      ]);
      const bytes = await engine.read(chunks.map(({ storage }) => storage));
      expect(bytes.flatMap((chunk) => [...new Uint8Array(chunk)])).toEqual([...set.images]);
      buffers.destroy();
    },
  );

  it('batches are gathered across the cuts', async () => {
    const indices = [6, 2, 3, 0, 5, 2];
    const buffers = new Buffers(limited(LIMITS));
    const images = await uploadImages(buffers, set, indices.length);
    const graph = new Graph();
    const step = graph.input('step', [4], 'u32');
    const { source, bindings } = imageSource(graph, 'tiny', images, indices.length);
    const y = gatherImages([source], step, {
      height: 2,
      width: 2,
      normalization: { mean: [0, 0, 0], std: [1 / 255, 1 / 255, 1 / 255] },
      augment: false,
    });
    const program = await Program.compile(engine, graph, [y], new Map(bindings));
    program.write(source.indices, Uint32Array.from(indices));
    program.run();
    const [pixels] = await program.read(y);
    program.destroy();
    buffers.destroy();
    const expected = indices.flatMap((index) => [...set.images.subarray(index * 12, index * 12 + 12)]);
    expect(Array.from(pixels!, Math.round)).toEqual(expected);
  });
});

describe('a set that is not in memory', () => {
  const { images: bytes, ...properties } = set;
  const source: ImageSource = {
    ...properties,
    read: async (start, count) => bytes.slice(start * 12, (start + count) * 12),
    gather: async (indices) => Uint8Array.from([...indices].flatMap((i) => [...bytes.subarray(i * 12, i * 12 + 12)])),
  };

  it('is uploaded where it fits one buffer', async () => {
    const buffers = new Buffers(engine);
    const { chunks, streamed } = await uploadImages(buffers, source, 4);
    expect(streamed).toBeUndefined();
    const [read] = await engine.read(chunks.map(({ storage }) => storage));
    expect([...new Uint8Array(read!)]).toEqual([...bytes]);
    buffers.destroy();
  });

  it('else is read a batch at a time, ahead of the step', async () => {
    const buffers = new Buffers(limited(LIMITS));
    const images = await uploadImages(buffers, source, 3);
    expect(images).toMatchObject({ streamed: source, chunks: [{ start: 0, count: 3 }] });
    const feed = new Feed(engine, images, new Sampler(7, { seed: 1, name: 'x', shuffle: false }), 3);
    expect(() => feed.load(0)).toThrow(new UsageError('the images of step 1 are not read yet: await ready() first'));
    for (const [step, expected] of [
      [0, 1, 2],
      [3, 4, 5],
      [6, 0, 1],
    ].entries()) {
      await feed.prepare(step);
      const { indices, places } = feed.load(step);
      expect([...indices]).toEqual(expected);
      expect([...places]).toEqual([0, 1, 2]);
      const [rows] = await engine.read(images.chunks.map(({ storage }) => storage));
      expect([...new Uint8Array(rows!)]).toEqual([...(await source.gather(indices))]);
    }
    buffers.destroy();
  });
});
