import { describe, expect, it } from 'vitest';
import { DataError, UsageError } from '../../src/errors.js';
import { type EvaluationInput, evaluate, formatTable } from '../../src/ood/evaluate.js';

/** Two-class logits (a, 0): all scores rise with a > 0. */
const logits = (...values: number[]) => Float32Array.from(values.flatMap((a) => [a, 0]));

const input: EvaluationInput = {
  classes: 2,
  inDistribution: { logits: logits(4, 5, 6, 7), labels: [0, 0, 1, 0] },
  ood: [
    { name: 'far', logits: logits(1, 2) },
    { name: 'near', logits: logits(4.5, 8, 1, 1) },
  ],
  scores: ['msp', 'energy'],
  convention: 'paper',
};

describe('evaluate', () => {
  it('gives the accuracy, a row for each score and set, and the averages', () => {
    const { accuracy, convention, results } = evaluate(input);
    expect(accuracy).toBe(0.75);
    expect(convention).toBe('paper');
    expect(results.map(({ score, set }) => `${score} ${set}`)).toEqual([
      'msp far',
      'msp near',
      'msp average',
      'energy far',
      'energy near',
      'energy average',
    ]);
    const [far, near, average] = results;
    expect(far).toMatchObject({ fpr95: 0, auroc: 1, aupr_in: 1, aupr_out: 1 });
    expect(near).toMatchObject({ fpr95: 0.5, auroc: (3 + 0 + 4 + 4) / 16 });
    expect(average!.auroc).toBeCloseTo((1 + 11 / 16) / 2, 12);
    expect(average!.fpr95).toBeCloseTo(0.25, 12);
    expect(average!.aupr_in).toBeCloseTo((1 + near!.aupr_in) / 2, 12);
    expect(average!.aupr_out).toBeCloseTo((1 + near!.aupr_out) / 2, 12);
  });

  it('takes the first images of each set, and all of a smaller one', () => {
    const { results } = evaluate({ ...input, scores: ['energy'], oodCount: 3 });
    expect(results[0]!.auroc).toBe(1);
    expect(results[1]!.auroc).toBeCloseTo((3 + 0 + 4) / 12, 12);
  });

  it('follows the convention', () => {
    const { convention, results } = evaluate({ ...input, scores: ['energy'], convention: 'openood' });
    expect(convention).toBe('openood');
    expect(results[1]!.fpr95).toBe(1);
  });

  it('passes the temperature to the energy', () => {
    // A low temperature compares the largest logits (2.2 and 1.6), a high one the means (1.1 and 1.6).
    const of = (temperature: number) =>
      evaluate({
        ...input,
        inDistribution: { logits: [2.2, 0], labels: [0] },
        ood: [{ name: 'flat', logits: [1.6, 1.6] }],
        scores: ['energy'],
        temperature,
      }).results[0]!.auroc;
    expect(of(0.1)).toBe(1);
    expect(of(10)).toBe(0);
  });

  it.each<[string, Partial<EvaluationInput>, string]>([
    [
      'too few labels',
      { inDistribution: { logits: logits(1, 2), labels: [0] } },
      '1 labels for the logits of 2 images',
    ],
    ['a label out of range', { inDistribution: { logits: logits(1, 2), labels: [0, 2] } }, 'label 1 is 2'],
    ['a negative label', { inDistribution: { logits: logits(1), labels: [-1] } }, 'label 0 is -1'],
    ['no test images', { inDistribution: { logits: [], labels: [] } }, 'no in-distribution'],
    ['an empty set', { ood: [{ name: 'void', logits: [] }] }, "'void' has no images"],
    ['logits of other classes', { ood: [{ name: 'odd', logits: [1, 2, 3] }] }, '3 logits are not whole rows of 2'],
  ])('refuses %s', (_, change, message) => {
    expect(() => evaluate({ ...input, ...change })).toThrow(DataError);
    expect(() => evaluate({ ...input, ...change })).toThrow(message);
  });

  it.each<[string, Partial<EvaluationInput>, string]>([
    ['an unknown score', { scores: ['msp', 'odin'] }, "no score 'odin'"],
    ['no score', { scores: [] }, 'no score to evaluate'],
    ['no set', { ood: [] }, 'no OOD set'],
    ['two sets of one name', { ood: [input.ood[0]!, input.ood[0]!] }, "two OOD sets are called 'far'"],
    ['a set called average', { ood: [{ name: 'average', logits: logits(1) }] }, "cannot be called 'average'"],
    ['an OOD count of 0', { oodCount: 0 }, 'the OOD count is 0'],
    ['an OOD count of 1.5', { oodCount: 1.5 }, 'the OOD count is 1.5'],
  ])('refuses %s', (_, change, message) => {
    expect(() => evaluate({ ...input, ...change })).toThrow(UsageError);
    expect(() => evaluate({ ...input, ...change })).toThrow(message);
  });
});

describe('formatTable', () => {
  it('lines up percentages under a heading that names the convention', () => {
    const table = formatTable({
      accuracy: 0.84391,
      convention: 'openood',
      results: [
        { score: 'energy', set: 'svhn_test', fpr95: 0.57653, auroc: 0.8883, aupr_in: 1, aupr_out: 0.05 },
        { score: 'energy', set: 'average', fpr95: 0, auroc: 0.5, aupr_in: 0.25, aupr_out: 0.125 },
      ],
    });
    expect(table).toBe(
      [
        'accuracy 84.39 %',
        'convention openood: OOD positive, first threshold with TPR >= 95 %, trapezoid AUPR; figures in %',
        'score   set        FPR95  AUROC  AUPR-in  AUPR-out',
        'energy  svhn_test  57.65  88.83   100.00      5.00',
        'energy  average     0.00  50.00    25.00     12.50',
      ].join('\n'),
    );
  });
});
