import { DataError, DeviceError } from '../errors.js';
import type { Buffers } from '../gpu/buffers.js';
import type { Storage } from '../gpu/engine.js';
import type { Graph, Tensor } from '../graph/graph.js';
import type { GatherSource } from '../graph/ops/gather-images.js';
import { type ImageSource, type Images, isInMemory, readImages } from './image-set.js';

/** Images on the GPU: a whole set in as many buffers as the binding limit asks for, or the rows of one batch. */
export interface DeviceImages {
  readonly chunks: readonly { readonly storage: Storage; readonly start: number; readonly count: number }[];
  /** The set that the one chunk's rows are read from, anew for each batch; absent where the set is on the GPU. */
  readonly streamed?: ImageSource;
}

/** Bytes that are read at a time from a set that is not in memory. */
const PIECE = 2 ** 24;

/**
 * Upload an image set: what is in memory, or fits one buffer, as a whole. Of a larger one there is room for a batch alone,
 * and a `Feed` reads each.
 * @param rows images a batch
 * @throws DataError where images cannot be read
 */
export async function uploadImages(buffers: Buffers, set: Images, rows: number): Promise<DeviceImages> {
  const { engine } = buffers;
  const bytesPerImage = set.height * set.width * 3;
  const { maxStorageBufferBindingSize, maxBufferSize } = engine.device.limits;
  const perChunk = Math.floor(Math.min(maxStorageBufferBindingSize, maxBufferSize) / bytesPerImage);
  const label = `images of ${set.name}`;
  if (!isInMemory(set) && set.count > perChunk) {
    const storage = whole(buffers.create(label, rows * bytesPerImage));
    return { chunks: [{ storage, start: 0, count: rows }], streamed: set };
  }
  const chunks = [];
  for (let start = 0; start < set.count; start += perChunk) {
    const count = Math.min(perChunk, set.count - start);
    const storage = whole(buffers.create(label, count * bytesPerImage));
    chunks.push({ storage, start, count });
    // Multiples of four images, so that each piece begins at a whole word.
    const piece = isInMemory(set) ? count : Math.floor(PIECE / bytesPerImage / 4) * 4;
    for (let from = 0; from < count; from += piece) {
      const bytes = await readImages(set, start + from, Math.min(piece, count - from));
      const offset = from * bytesPerImage;
      engine.write({ ...storage, offset, size: storage.size - offset }, bytes);
    }
  }
  return { chunks };
}

const whole = (buffer: GPUBuffer): Storage => ({ buffer, offset: 0, size: buffer.size });

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

/** `count` images, one after the other, from byte `offset` of somebody's buffer on. */
export interface ImagesInBuffer {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly count: number;
}

/**
 * Refuse images that a buffer does not hold, or that cannot be copied from it.
 * @param bytes of an image, a multiple of 4
 * @throws DataError, DeviceError
 */
export function requireImages({ buffer, offset, count }: ImagesInBuffer, bytes: number): void {
  if (!(Number.isInteger(count) && count >= 0 && Number.isInteger(offset) && offset >= 0 && offset % 4 === 0)) {
    throw new DataError(`${count} images from byte ${offset} on: give a whole number, and a multiple of 4`);
  }
  if (bytes % 4 !== 0)
    throw new DataError(`images of ${bytes} bytes cannot be copied on the device: their bytes must be a multiple of 4`);
  const end = offset + count * bytes;
  if (end > buffer.size) {
    throw new DataError(
      `${count} images of ${bytes} bytes from byte ${offset} on end at ${end}, but the buffer has ${buffer.size}`,
    );
  }
  if (!(buffer.usage & GPU_BUFFER_COPY_SRC)) {
    throw new DeviceError('the buffer cannot be copied from; create it with GPUBufferUsage.COPY_SRC');
  }
}

// GPUBufferUsage.COPY_SRC by value: Node has no such global.
const GPU_BUFFER_COPY_SRC = 0x4;
