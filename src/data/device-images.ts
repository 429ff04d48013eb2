import type { Engine, Storage } from '../gpu/engine.js';
import type { Graph, Tensor } from '../graph/graph.js';
import type { GatherSource } from '../graph/ops/gather-images.js';
import type { ImageSet } from './image-set.js';

/** An image set's bytes on the GPU, in as many buffers as the binding limit asks for. */
export interface DeviceImages {
  readonly chunks: readonly { readonly storage: Storage; readonly start: number; readonly count: number }[];
}

/** Upload an image set. */
export function uploadImages(engine: Engine, set: ImageSet): DeviceImages {
  const bytesPerImage = set.height * set.width * 3;
  const { maxStorageBufferBindingSize, maxBufferSize } = engine.device.limits;
  const perChunk = Math.floor(Math.min(maxStorageBufferBindingSize, maxBufferSize) / bytesPerImage);
  const chunks = [];
  for (let start = 0; start < set.count; start += perChunk) {
    const count = Math.min(perChunk, set.count - start);
    const bytes = set.images.subarray(start * bytesPerImage, (start + count) * bytesPerImage);
    chunks.push({ storage: engine.upload(`images of ${set.name}`, bytes), start, count });
  }
  return { chunks };
}

/** An image set in a graph: a source of `rows` images a batch, and the bindings of its inputs. */
export function imageSource(
  graph: Graph,
  name: string,
  images: DeviceImages,
  rows: number,
): { source: GatherSource; bindings: [Tensor, Storage][] } {
  const bindings: [Tensor, Storage][] = [];
  const chunks = images.chunks.map(({ storage, start, count }) => {
    const tensor = graph.input(`${name} images`, [storage.size / 4], 'u32');
    bindings.push([tensor, storage]);
    return { tensor, start, count };
  });
  return { source: { chunks, indices: graph.input(`${name} indices`, [rows], 'u32') }, bindings };
}
