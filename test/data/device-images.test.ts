import { describe, expect, it } from 'vitest';
import { imageSource, uploadImages } from '../../src/data/device-images.js';
import type { ImageSet } from '../../src/data/image-set.js';
import type { Engine, Storage } from '../../src/gpu/engine.js';
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
  return { device: { limits }, upload: engine.upload.bind(engine) } as unknown as Engine;
}
const LIMITS = { maxStorageBufferBindingSize: 40, maxBufferSize: 1000 };

describe('an image set on the GPU', () => {
  it('is one buffer where the limits allow', () => {
    const { chunks } = uploadImages(engine, set);
    expect(chunks).toMatchObject([{ start: 0, count: 7 }]);
    release(chunks);
  });

  it.each([LIMITS, { maxStorageBufferBindingSize: 1000, maxBufferSize: 40 }])(
    'is cut between images by %j',
    async (limits) => {
      const { chunks } = uploadImages(limited(limits), set);
      expect(chunks.map(({ start, count }) => [start, count])).toEqual([
        [0, 3],
        [3, 3],
        [6, 1],
      ]);
      const bytes = await engine.read(chunks.map(({ storage }) => storage));
      expect(bytes.flatMap((chunk) => [...new Uint8Array(chunk)])).toEqual([...set.images]);
      release(chunks);
    },
  );

  it('batches are gathered across the cuts', async () => {
    const images = uploadImages(limited(LIMITS), set);
    const indices = [6, 2, 3, 0, 5, 2];
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
    release(images.chunks);
    const expected = indices.flatMap((index) => [...set.images.subarray(index * 12, index * 12 + 12)]);
    expect(Array.from(pixels!, Math.round)).toEqual(expected);
  });
});

function release(chunks: readonly { storage: Storage }[]): void {
  for (const { storage } of chunks) engine.destroyBuffer(storage.buffer);
}
