import { describe, expect, it } from 'vitest';
import { philox4x32, Random, stream } from '../../src/data/random.js';

const draw = (random: Random, count: number) => Array.from({ length: count }, () => random.uint32());

describe('philox4x32', () => {
  // The known answers published with Random123 (kat_vectors, philox4x32 10).
  it.each([
    [[0, 0, 0, 0], [0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    [[0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], 'd16cfe09 94fdcceb 5001e420 24126ea1'],
  ])('encrypts %j under %j', (counter, key, expected) => {
    const block = Uint32Array.from(counter);
    philox4x32(block, key[0], key[1]);
    expect([...block].map((word) => word.toString(16).padStart(8, '0')).join(' ')).toBe(expected);
  });
});

describe('Random', () => {
  it('draws the blocks of counters 0, 1, 2, ... under its key', () => {
    const words = draw(new Random({ key: [7, 9], position: 0 }), 8);
    const blocks = [0, 1].flatMap((index) => {
      const block = [index, 0, 0, 0];
      philox4x32(block, 7, 9);
      return block;
    });
    expect(words).toEqual(blocks);
  });

  it('continues from a saved state, also after JSON, within a block and past 2^32 blocks', () => {
    for (const start of [0, 5, 2 ** 34 - 3, 2 ** 40 + 1]) {
      const random = new Random({ key: [1, 2], position: start });
      draw(random, 3);
      const resumed = new Random(JSON.parse(JSON.stringify(random.state)));
      expect(draw(resumed, 9)).toEqual(draw(random, 9));
    }
    const before = draw(new Random({ key: [1, 2], position: 0 }), 4);
    expect(draw(new Random({ key: [1, 2], position: 2 ** 34 }), 4)).not.toEqual(before);
  });

  it('derives streams that differ by every key, and not by what was drawn', () => {
    const streams = [
      stream(1),
      stream(2),
      stream(1 + 2 ** 32),
      stream(-1),
      stream(1, 0),
      stream(1, 0, 0),
      stream(1, 'a'),
      stream(1, 'b'),
      stream(1, 'ab'),
      stream(1, 'a', 'b'),
      stream(1, 97),
    ];
    expect(new Set(streams.map((random) => draw(random, 2).join())).size).toBe(streams.length);

    const parent = stream(1);
    draw(parent, 5);
    expect(draw(parent.derive('a', 3), 4)).toEqual(draw(stream(1, 'a', 3), 4));
    expect(parent.state.position).toBe(5);
  });

  it('is uniform: mean, variance and independence of neighbours', () => {
    const random = stream(3);
    const values = Array.from({ length: 100_000 }, () => random.uniform());
    const mean = (list: number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
    expect(values.every((u) => u >= 0 && u < 1)).toBe(true);
    expect(mean(values)).toBeCloseTo(0.5, 2);
    expect(mean(values.map((u) => (u - 0.5) ** 2))).toBeCloseTo(1 / 12, 2);
    expect(mean(values.slice(1).map((u, i) => (u - 0.5) * (values[i] - 0.5)))).toBeCloseTo(0, 2);
  });

  it('draws whole numbers fairly, also where 2^32 is far from a multiple of n', () => {
    const random = stream(4);
    const counts = new Array<number>(7).fill(0);
    for (let i = 0; i < 70_000; i++) counts[random.int(7)]++;
    // Binomial: the standard deviation of a count is 93.
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(450);

    // Taking words modulo 3 * 2^30 would put a half, not a third, of them in the lowest third.
    const lowest = Array.from({ length: 9000 }, () => random.int(3 * 2 ** 30)).filter((value) => value < 2 ** 30);
    expect(Math.abs(lowest.length - 3000)).toBeLessThan(250);
    expect(random.int(1)).toBe(0);
  });

  it('draws normal numbers with the moments and tails of N(0, 1)', () => {
    const random = stream(5);
    const values = Array.from({ length: 100_000 }, () => random.normal());
    const moment = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / values.length;
    expect(moment(1)).toBeCloseTo(0, 1);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.02);
    expect(Math.abs(moment(3))).toBeLessThan(0.05);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.15);
    const beyond = (z: number) => values.filter((value) => Math.abs(value) > z).length / values.length;
    expect(beyond(1.959964)).toBeCloseTo(0.05, 2);
    expect(Math.abs(beyond(3) - 0.0027)).toBeLessThan(0.0008);
  });

  it('computes normal numbers as the polar method does with the logarithm of the platform', () => {
    const random = stream(6);
    const source = stream(6);
    for (let i = 0; i < 1000; i++) {
      let u: number;
      let s: number;
      do {
        u = 2 * source.uniform() - 1;
        s = u * u + (2 * source.uniform() - 1) ** 2;
      } while (s >= 1);
      const expected = u * Math.sqrt((-2 * Math.log(s)) / s);
      expect(Math.abs(random.normal() - expected)).toBeLessThanOrEqual(1e-14 * Math.abs(expected));
    }
  });

  it('shuffles into permutations, every one equally likely', () => {
    const random = stream(7);
    expect([...random.shuffle(100)].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(random.shuffle(0).length).toBe(0);
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = random.shuffle(3).join();
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('refuses bounds, seeds and states that cannot be', () => {
    const random = stream(1);
    for (const n of [0, -1, 1.5, Number.NaN, 2 ** 32 + 1]) {
      expect(() => random.int(n)).toThrow(/the bound must be a whole number from 1 to 2\^32/);
    }
    for (const seed of [0.5, Number.NaN, 2 ** 53]) expect(() => stream(seed)).toThrow(/not a whole number below 2\^53/);
    expect(() => new Random({ key: [1, 2 ** 32], position: 0 })).toThrow(/two unsigned 32-bit integers/);
    expect(() => new Random({ key: [1, 2], position: -1 })).toThrow(/position is -1/);
  });
});
