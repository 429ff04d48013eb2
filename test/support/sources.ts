import type { ImageSet, ImageSource } from '../../src/data/image-set.js';

/** The same images as something to be read, and how often it was. */
export function asSource({ images, ...properties }: ImageSet): ImageSource & { reads: number } {
  const source = {
    ...properties,
    reads: 0,
    async read(start: number, count: number) {
      source.reads++;
      return images.slice(start * 3072, (start + count) * 3072);
    },
    async gather(indices: Uint32Array) {
      source.reads++;
      const rows = new Uint8Array(indices.length * 3072);
      indices.forEach((index, row) => {
        rows.set(images.subarray(index * 3072, (index + 1) * 3072), row * 3072);
      });
      await new Promise((resolve) => setTimeout(resolve, 5));
      return rows;
    },
  };
  return source;
}
