import { stream } from './random.js';

/**
 * The order in which a data set's images are taken: one permutation after the other (or the set's own order, again and
 * again), cut into batches without regard to where one ends, so that every image is taken once an epoch and every batch is
 * full. Position alone decides, so a run can be resumed at any step.
 */
export class Sampler {
  readonly #count: number;
  readonly #order: ((epoch: number) => Uint32Array) | undefined;
  #epoch = -1;
  #permutation: Uint32Array | undefined;

  /** @param options.name tells apart the samplers of one seed */
  constructor(count: number, options: { seed: number; name: string; shuffle: boolean }) {
    this.#count = count;
    if (options.shuffle) {
      this.#order = (epoch) => stream(options.seed, 'order', options.name, epoch).shuffle(count);
    }
  }

  /** The `size` images from position `start` of the endless sequence on. */
  take(start: number, size: number): Uint32Array<ArrayBuffer> {
    const indices = new Uint32Array(size);
    for (let i = 0; i < size; i++) {
      const position = start + i;
      const epoch = Math.floor(position / this.#count);
      if (this.#order && epoch !== this.#epoch) {
        this.#permutation = this.#order(epoch);
        this.#epoch = epoch;
      }
      const at = position % this.#count;
      indices[i] = this.#permutation ? this.#permutation[at]! : at;
    }
    return indices;
  }
}
