import { describe, expect, it } from 'vitest';
import { densities, precisionRecallCurve, rocCurve } from '../../src/ood/curves.js';
import { auroc } from '../../src/ood/metrics.js';
import { noise } from '../support/numbers.js';

const area = (curve: readonly (readonly [number, number])[]) =>
  curve.reduce((sum, [x, y], i) => (i === 0 ? 0 : sum + ((x - curve[i - 1]![0]) * (y + curve[i - 1]![1])) / 2), 0);

describe('ROC curve', () => {
  it('by hand: three in-distribution scores, two others, a tie', () => {
    // At 3: one in. At 2: both kinds once. At 1: the rest.
    expect(rocCurve([3, 2, 1], [2, 1])).toEqual([
      [0, 0],
      [0, 1 / 3],
      [1 / 2, 2 / 3],
      [1, 1],
    ]);
  });

  it('of few scores: what lies below it is the AUROC', () => {
    const [ins, outs] = [noise(40, 1), noise(30, 2).map((value) => value - 0.4)];
    expect(area(rocCurve(ins, outs))).toBeCloseTo(auroc(ins, outs), 12);
  });

  it('of many: at most 200 points, from corner to corner, and the area to 0.1 %', () => {
    const [ins, outs] = [noise(5000, 3), noise(4000, 4).map((value) => value - 0.4)];
    const curve = rocCurve(ins, outs);
    expect(curve.length).toBeLessThanOrEqual(200);
    expect(curve.length).toBeGreaterThan(100);
    expect([curve[0], curve.at(-1)]).toEqual([
      [0, 0],
      [1, 1],
    ]);
    expect(Math.abs(area(curve) - auroc(ins, outs))).toBeLessThan(1e-3);
  });

  it('refuses NaN', () => {
    expect(() => rocCurve([1, Number.NaN], [2])).toThrow('in-distribution score 1 is NaN');
  });
});

it('precision-recall curve, by hand', () => {
  expect(precisionRecallCurve([3, 2, 1], [2, 1])).toEqual([
    [1 / 3, 1],
    [2 / 3, 2 / 3],
    [1, 3 / 5],
  ]);
});

describe('densities', () => {
  it('are of area 1 each, over common bins', () => {
    const { edges, groups } = densities([noise(1000, 5), noise(300, 6).map((value) => 2 * value + 1)], 20);
    expect(edges).toHaveLength(21);
    for (const group of groups) {
      expect(group.reduce((sum, density) => sum + density * (edges[1]! - edges[0]!), 0)).toBeCloseTo(1, 9);
    }
  });

  it('one value far off goes into the last bin, and does not stretch the others', () => {
    const { edges, groups } = densities([Float64Array.of(...noise(2000, 7), 1e9)], 10);
    expect(edges.at(-1)).toBeLessThan(1.1);
    expect(groups[0]!.at(-1)).toBeGreaterThan(0);
  });

  it('values that are all the same fill one bin', () => {
    const { groups } = densities([[5, 5, 5], [5]], 4);
    expect(groups).toEqual([
      [1, 0, 0, 0],
      [1, 0, 0, 0],
    ]);
  });
});
