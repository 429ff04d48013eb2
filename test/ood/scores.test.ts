import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DataError, UsageError } from '../../src/errors.js';
import { readNpz } from '../../src/formats/npz.js';
import { energy, findScore, maxLogit, msp, SCORES, scoreArrays } from '../../src/ood/scores.js';

const goldenFile = new URL('../../../shared/reference/scores-wrn-10-1.npz', import.meta.url);

describe.skipIf(!existsSync(goldenFile))('the golden scores of shared/reference (needs ../shared)', () => {
  const read = () => {
    const npz = readNpz(readFileSync(goldenFile), 'scores-wrn-10-1.npz');
    return (name: string) => npz.get(name).data as Float64Array;
  };
  const expectClose = (got: Float64Array, want: Float64Array) => {
    expect(got).toHaveLength(want.length);
    for (const [i, value] of want.entries()) expect(Math.abs(got[i]! / value - 1)).toBeLessThan(1e-9);
  };

  it.each([1, 10, 1000])('energy at T = %d', (temperature) => {
    const array = read();
    expectClose(energy(array('logits'), 10, { temperature }), array(`energy_T${temperature}`));
  });

  it('msp and maxlogit', () => {
    const array = read();
    expectClose(msp(array('logits'), 10), array('msp'));
    expectClose(maxLogit(array('logits'), 10), array('maxlogit'));
  });
});

describe('scores of plain logits', () => {
  const rows = [0, 0, Math.log(2), 0];

  it('follow their formulas', () => {
    expect([...energy(rows, 2)]).toEqual([expect.closeTo(-Math.log(2), 12), expect.closeTo(-Math.log(3), 12)]);
    expect([...msp(rows, 2)]).toEqual([expect.closeTo(1 / 2, 12), expect.closeTo(2 / 3, 12)]);
    expect([...maxLogit(rows, 2)]).toEqual([0, Math.log(2)]);
  });

  it('scale the energy by the temperature', () => {
    expect(energy([3, 3], 2, { temperature: 4 })[0]).toBeCloseTo(-3 - 4 * Math.log(2), 12);
  });

  it('are one number an image, whatever holds the logits', () => {
    for (const logits of [rows, Float32Array.from(rows), Float64Array.from(rows)]) {
      expect(energy(logits, 2)).toBeInstanceOf(Float64Array);
      expect(energy(logits, 2)).toHaveLength(2);
    }
    expect(energy([], 2)).toHaveLength(0);
  });

  it('stay finite and exact where the exponential does not', () => {
    expect([...energy([1e4, 1e4, -1e4, -1e4], 2)]).toEqual([-1e4 - Math.log(2), 1e4 - Math.log(2)]);
    expect([...msp([1e4, 1e4, -1e4, 1e4], 2)]).toEqual([0.5, 1]);
  });

  it('keep large energies apart, as a sigmoid would not', () => {
    const [a, b] = energy([30, 0, 31, 0], 2);
    expect(a! - b!).toBeCloseTo(1, 9);
  });

  it.each([Number.NaN, Infinity, -Infinity])('refuse %d, saying in which row', (value) => {
    for (const score of [energy, msp, maxLogit]) {
      expect(() => score([0, 0, 0, value], 2)).toThrow(DataError);
      expect(() => score([0, 0, 0, value], 2)).toThrow(`row 1 of the logits holds ${value}`);
    }
  });

  it('refuse logits that are not whole rows', () => {
    expect(() => msp([1, 2, 3], 2)).toThrow(DataError);
    expect(() => msp([1, 2, 3], 2)).toThrow('3 logits are not whole rows of 2 classes');
    expect(() => msp([], 0)).toThrow('0 classes');
    expect(() => msp([1, 2, 3], 1.5)).toThrow('1.5 classes');
  });

  it.each([0, -1, Number.NaN, Infinity, 1e19, 1e-19])('refuse a temperature of %d', (temperature) => {
    expect(() => energy([1, 2], 2, { temperature })).toThrow(UsageError);
    expect(() => energy([1, 2], 2, { temperature })).toThrow(`the temperature is ${temperature}`);
  });
});

describe('the registry', () => {
  const logits = [5, 0, 0, 1, 1, 1];

  it('lists the scores, each described; those of logits alone are higher for the confident image', () => {
    expect(Object.keys(SCORES)).toEqual([
      ...['msp', 'energy', 'maxlogit', 'odin', 'mahalanobis', 'knn', 'vim', 'gen', 'react', 'ash'],
    ]);
    for (const [name, score] of Object.entries(SCORES)) {
      expect(score.description, name).not.toBe('');
      if (score.uses === 'features') {
        expect(() => scoreArrays(score, { logits, classes: 3 }), name).toThrow(UsageError);
        continue;
      }
      const [confident, unsure] = scoreArrays(score, { logits, classes: 3 });
      expect(confident, name).toBeGreaterThan(unsure!);
    }
  });

  it('has the negative energy for the energy, at the given temperature', () => {
    const score = scoreArrays(findScore('energy'), { logits, classes: 3, temperature: 2 });
    const e = energy(logits, 3, { temperature: 2 });
    expect([...score]).toEqual([...e].map((value) => -value));
  });

  it('refuses an unknown name and lists the known', () => {
    expect(() => findScore('toString')).toThrow(UsageError);
    expect(() => findScore('softmax')).toThrow("no score 'softmax'; choose from msp, energy, maxlogit");
  });
});
