import { UsageError } from '../errors.js';
import type { Engine } from '../gpu/engine.js';
import type { DeviceImages } from './device-images.js';
import { gatherImages } from './image-set.js';
import type { Sampler } from './sampler.js';

/** What a step takes from an image set: images by number, and, of a set that is streamed, their bytes. */
interface Batch {
  readonly step: number;
  readonly indices: Uint32Array<ArrayBuffer>;
  bytes?: Uint8Array;
}

/**
 * The images that each step of a training takes from a set. A set on the device is asked by index; of one that is streamed,
 * the next step's images are read while the device works at this one's.
 */
export class Feed {
  private readonly engine: Engine;
  private readonly images: DeviceImages;
  private readonly sampler: Sampler;
  private readonly rows: number;
  private batch: Batch | undefined;
  private reading: Promise<void> = Promise.resolve();

  constructor(engine: Engine, images: DeviceImages, sampler: Sampler, rows: number) {
    this.engine = engine;
    this.images = images;
    this.sampler = sampler;
    this.rows = rows;
  }

  /**
   * Read what a step (from 0) needs, unless it is there or on its way.
   * @throws DataError where images cannot be read
   */
  prepare(step: number): Promise<void> {
    const { streamed } = this.images;
    if (!streamed || this.batch?.step === step) return this.reading;
    const batch: Batch = { step, indices: this.sampler.take(step * this.rows, this.rows) };
    this.batch = batch;
    this.reading = gatherImages(streamed, batch.indices).then((bytes) => {
      batch.bytes = bytes;
    });
    // Thrown where it is awaited.
    this.reading.catch(() => {});
    return this.reading;
  }

  /**
   * Queue a step's images.
   * @returns which images of the set these are, and where they lie on the device (numbered likewise, or 0, 1, .. if streamed)
   * @throws UsageError where they have not been read
   */
  load(step: number): { readonly indices: Uint32Array; readonly places: Uint32Array<ArrayBuffer> } {
    if (!this.images.streamed) {
      const indices = this.sampler.take(step * this.rows, this.rows);
      return { indices, places: indices };
    }
    const { indices, bytes } = this.batch?.step === step ? this.batch : {};
    if (!indices || !bytes)
      throw new UsageError(`the images of step ${step + 1} are not read yet: await ready() first`);
    this.engine.write(this.images.chunks[0]!.storage, bytes);
    return { indices, places: Uint32Array.from(indices, (_, row) => row) };
  }
}
