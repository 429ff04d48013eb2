import type { ImageSet } from '../../src/index.js';

/** The first images of a set, `limit` at most, that are wanted, with their labels. */
export function takeImages(set: ImageSet, limit: number, wanted: (k: number) => boolean = () => true): ImageSet {
  const chosen = Array.from({ length: set.count }, (_, k) => k)
    .filter(wanted)
    .slice(0, limit);
  const bytes = set.height * set.width * 3;
  const images = new Uint8Array(chosen.length * bytes);
  chosen.forEach((k, i) => {
    images.set(set.images.subarray(k * bytes, (k + 1) * bytes), i * bytes);
  });
  const { labels, ...rest } = set;
  return {
    ...rest,
    images,
    count: chosen.length,
    ...(labels && { labels: Int32Array.from(chosen, (k) => labels[k]!) }),
  };
}
