import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DataError, UsageError } from '../../src/errors.js';
import { readNpz } from '../../src/formats/npz.js';
import { aupr, auroc, type Convention, type Fpr95Convention, fpr95, metrics } from '../../src/ood/metrics.js';

const golden = readNpz(readFileSync(new URL('../fixtures/reference/metrics.npz', import.meta.url)), 'metrics.npz');
const expected: Record<string, Record<string, number>> = JSON.parse(
  new TextDecoder().decode(golden.get('expected_json').data as Uint8Array),
);
const scoresOf = (name: string) => golden.get(name).data as Float64Array;

describe('the golden scores of metrics.npz, to 1e-9', () => {
  const conventions: Fpr95Convention[] = [
    'in_positive_nearest',
    'in_positive_first',
    'out_positive_nearest',
    'out_positive_first',
  ];

  it('hold the eight cases', () => {
    expect(Object.keys(expected)).toHaveLength(8);
  });

  it.each(Object.keys(expected))('%s', (name) => {
    const [ins, outs] = [scoresOf(`${name}/in`), scoresOf(`${name}/out`)];
    const got: Record<string, number> = {
      auroc: auroc(ins, outs),
      aupr_in: aupr(ins, outs, 'in', 'step'),
      aupr_out: aupr(ins, outs, 'out', 'step'),
    };
    for (const convention of conventions) got[`fpr95_${convention}`] = fpr95(ins, outs, convention);
    expect(Object.keys(got).sort()).toEqual(Object.keys(expected[name]!).sort());
    for (const [key, value] of Object.entries(expected[name]!)) {
      expect(Math.abs(got[key]! - value), key).toBeLessThan(1e-9);
    }
  });
});

describe('metrics', () => {
  it('is in-distribution positive, nearest recall and step AUPR in the paper convention', () => {
    const want = expected.large!;
    const got = metrics(scoresOf('large/in'), scoresOf('large/out'), { convention: 'paper' });
    expect(got.fpr95).toBeCloseTo(want.fpr95_in_positive_nearest!, 9);
    expect(got.auroc).toBeCloseTo(want.auroc!, 9);
    expect(got.aupr_in).toBeCloseTo(want.aupr_in!, 9);
    expect(got.aupr_out).toBeCloseTo(want.aupr_out!, 9);
  });

  it('is OOD positive, first threshold and trapezoid AUPR in the openood convention', () => {
    // In, from the top (R, P): 3 (1/3, 1); 2.5 (1/3, 1/2); 2, a tie (2/3, 1/2); 1 (1, 3/5).
    // Out, from the bottom: 1 (0, 0); 2, a tie (1/2, 1/3); 2.5 (1, 1/2); 3 (1, 2/5).
    const got = metrics([1, 2, 3], [2, 2.5], { convention: 'openood' });
    expect(got.fpr95).toBeCloseTo(2 / 3, 12);
    expect(got.auroc).toBeCloseTo(2.5 / 6, 12);
    expect(got.aupr_in).toBeCloseTo(1 / 3 + (1 / 2 + 1 / 2) / 6 + (1 / 2 + 3 / 5) / 6, 12);
    expect(got.aupr_out).toBeCloseTo((0 + 1 / 3) / 4 + (1 / 3 + 1 / 2) / 4, 12);
  });

  // scikit-learn 1.9.1: roc_curve, and auc over precision_recall_curve.
  it.each([
    ['overlap', 0.9735, 0.6298175, 0.858667840427261, 0.3450307147080268],
    ['ties', 1, 0.4966333333333333, 0.6501051972361981, 0.42805535120387733],
    ['inverted', 1, 0, 0.4263807180473847, 0.20361638361638362],
    ['constant', 1, 0.5, 0.8125, 0.6875],
    ['large', 0.6277, 0.8934886, 0.9635040023991296, 0.7833685914749047],
  ])('agrees with scikit-learn in the openood convention: %s', (name, fpr, roc, aupr_in, aupr_out) => {
    const got = metrics(scoresOf(`${name}/in`), scoresOf(`${name}/out`), { convention: 'openood' });
    expect(got.fpr95).toBeCloseTo(fpr, 9);
    expect(got.auroc).toBeCloseTo(roc, 9);
    expect(got.aupr_in).toBeCloseTo(aupr_in, 9);
    expect(got.aupr_out).toBeCloseTo(aupr_out, 9);
  });

  it('differs between conventions on the same scores', () => {
    const [ins, outs] = [scoresOf('overlap/in'), scoresOf('overlap/out')];
    expect(metrics(ins, outs, { convention: 'paper' }).fpr95).toBeCloseTo(0.7925, 9);
    expect(metrics(ins, outs, { convention: 'openood' }).fpr95).toBeCloseTo(0.9735, 9);
  });

  it('refuses an unknown convention and lists the known', () => {
    const convention = 'toString' as Convention;
    expect(() => metrics([1], [0], { convention })).toThrow(UsageError);
    expect(() => metrics([1], [0], { convention })).toThrow("no convention 'toString'; choose from paper, oe, openood");
  });
});

describe('fpr95, nearest', () => {
  it('takes the higher recall of two that are equally near 0.95', () => {
    // Of 10 positives, recalls 0.9 and 1.0 are both 0.05 away; the last positive ties with a negative.
    const ins = [10, 11, 12, 13, 14, 15, 16, 17, 18, 1];
    expect(fpr95(ins, [1, 0], 'in_positive_nearest')).toBe(0.5);
  });

  it('takes the lowest threshold of several with the same recall, and first takes the highest', () => {
    // Recall 0.95 holds from score 1 down to the negatives at 0.5 and 0.25; -1 completes it.
    const ins = [...Array.from({ length: 19 }, (_, i) => i + 1), -1];
    const outs = [0.5, 0.25, -2, -3];
    expect(fpr95(ins, outs, 'in_positive_nearest')).toBe(0.5);
    expect(fpr95(ins, outs, 'in_positive_first')).toBe(0);
  });

  it('stops where the recall is first 1', () => {
    expect(fpr95([3, 2], [1, 0], 'in_positive_nearest')).toBe(0);
  });

  it('may fall short of a recall of 0.95, where first may not', () => {
    // Of 11 positives, recalls 10/11 and 1 are 0.041 and 0.05 away; the last positive ties with a negative.
    const ins = [...Array.from({ length: 10 }, (_, i) => i + 1), -5];
    expect(fpr95(ins, [-5, -6], 'in_positive_nearest')).toBe(0);
    expect(fpr95(ins, [-5, -6], 'in_positive_first')).toBe(0.5);
  });
});

describe('scores at the edge of the numbers', () => {
  it('keeps scores apart that only float64 tells apart', () => {
    const top = 1e6;
    expect(auroc([top + 1e-9, top + 2e-9], [top, top - 1e-9])).toBe(1);
  });

  it('ranks infinities', () => {
    expect(auroc([Infinity, 1], [0, -Infinity])).toBe(1);
    expect(auroc([Infinity], [Infinity])).toBe(0.5);
    expect(aupr([Infinity, 1], [0, -Infinity], 'out', 'step')).toBe(1);
  });

  it('takes 0 and -0 for a tie', () => {
    expect(auroc([0], [-0])).toBe(0.5);
  });

  it('refuses NaN, saying where', () => {
    expect(() => auroc([1, 2, Number.NaN], [0])).toThrow(DataError);
    expect(() => auroc([1, 2, Number.NaN], [0])).toThrow('in-distribution score 2 is NaN');
    expect(() => fpr95([1], [Number.NaN], 'out_positive_first')).toThrow('out-of-distribution score 0 is NaN');
  });

  it('refuses to rank nothing', () => {
    expect(() => aupr([], [0], 'in', 'step')).toThrow(DataError);
    expect(() => aupr([], [0], 'in', 'step')).toThrow('no in-distribution scores');
    expect(() => metrics([1], [], { convention: 'paper' })).toThrow('no out-of-distribution scores');
  });

  it('leaves its input as it was', () => {
    const ins = Float64Array.of(2, 3, 1);
    metrics(ins, [0], { convention: 'paper' });
    expect([...ins]).toEqual([2, 3, 1]);
  });
});
