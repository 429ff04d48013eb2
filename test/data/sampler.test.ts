import { describe, expect, it } from 'vitest';
import { Sampler } from '../../src/data/sampler.js';

const make = (options: { seed?: number; name?: string; shuffle?: boolean } = {}, count = 10) =>
  new Sampler(count, { seed: 1, name: 'set', shuffle: true, ...options });

describe('in the order of the set', () => {
  it('takes the images again and again', () => {
    const sampler = make({ shuffle: false }, 5);
    expect([...sampler.take(0, 3)]).toEqual([0, 1, 2]);
    expect([...sampler.take(3, 3)]).toEqual([3, 4, 0]);
    expect([...sampler.take(3, 9)]).toEqual([3, 4, 0, 1, 2, 3, 4, 0, 1]);
  });
});

describe('shuffled', () => {
  it('takes every image once an epoch, in another order each', () => {
    const epochs = [0, 1, 2].map((epoch) => [...make().take(10 * epoch, 10)]);
    for (const epoch of epochs) expect([...epoch].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(new Set(epochs.map(String)).size).toBe(3);
  });

  it('the position alone decides: batches across epochs, after a resume, in any order', () => {
    const sequence = [...make().take(0, 40)];
    const sampler = make();
    for (const start of [0, 7, 14, 21, 28, 3, 33]) {
      expect([...sampler.take(start, 7)]).toEqual(sequence.slice(start, start + 7));
      expect([...make().take(start, 7)]).toEqual(sequence.slice(start, start + 7));
    }
  });

  it('seed and name tell orders apart', () => {
    const orders = [make(), make({ seed: 2 }), make({ name: 'other' })].map((sampler) => String(sampler.take(0, 10)));
    expect(new Set(orders).size).toBe(3);
  });
});
