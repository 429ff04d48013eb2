import { expect, it } from 'vitest';
import type { ImageSource } from '../../src/data/image-set.js';
import type { Outputs } from '../../src/nn/classifier.js';
import { type OutputMemory, scoreSets } from '../../src/nn/scorer.js';
import { engine } from '../support/gpu.js';
import { reference } from '../support/training.js';

it('a set of more images than are scored at once is put together from its pieces, in order', async () => {
  const count = 150_000;
  const large: ImageSource = {
    name: 'large',
    count,
    height: 32,
    width: 32,
    // The number of an image is what its bytes say.
    read: async (start, images) => new Uint8Array(Uint32Array.from({ length: images }, (_, i) => start + i).buffer),
    gather: async () => new Uint8Array(),
  };
  const asked: number[] = [];
  // Remembers all, so that no network is asked: the logits of image n are n / count and zeros.
  const memory: OutputMemory = {
    async get(_, images): Promise<Outputs> {
      asked.push(images.count);
      const numbers = new Uint32Array((await (images as ImageSource).read(0, images.count)).buffer);
      const logits = new Float32Array(images.count * 10);
      numbers.forEach((n, i) => {
        logits[i * 10] = n / count;
      });
      return { logits, features: new Float32Array(images.count * 64) };
    },
    put: async () => {},
  };
  const done: number[] = [];
  const [scored, again] = await scoreSets(engine, reference.network(), [large, large], ['maxlogit', 'msp'], {
    memory,
    onProgress: (images) => done.push(images),
  });
  expect(asked).toEqual([65_536, 65_536, 18_928, 65_536, 65_536, 18_928]);
  expect(done.at(-1)).toBe(2 * count);
  for (const { logits, scores } of [scored!, again!]) {
    const maxima = scores.get('maxlogit')!;
    const wrong = maxima.findIndex((value, n) => value !== Math.fround(n / count) || logits[n * 10] !== value);
    expect(wrong).toBe(-1);
    const top = Math.exp(65_537 / count);
    expect(scores.get('msp')![65_537]).toBeCloseTo(top / (top + 9), 6);
  }
});
