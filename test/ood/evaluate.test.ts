import { describe, expect, it } from 'vitest';
import { DataError, UsageError } from '../../src/errors.js';
import { accuracy, type EvaluationInput, evaluate, formatTable, type Protocol } from '../../src/ood/evaluate.js';
import { metrics, type Scores } from '../../src/ood/metrics.js';
import { random4 } from '../support/pcg.js';

const input: EvaluationInput = {
  inDistribution: new Map([['energy', [4, 5, 6, 7]]]),
  ood: [
    { name: 'far', scores: new Map([['energy', [1, 2]]]) },
    { name: 'near', scores: new Map([['energy', [4.5, 8, 1, 1]]]) },
  ],
  protocol: 'full',
  resamples: 0,
};

/** Normal deviates, by Box and Muller. */
const normals = (count: number, mean: number, seed: number) =>
  Float64Array.from({ length: count }, (_, i) => {
    const [a, b] = random4(i, 0, 0, seed);
    return mean + Math.sqrt(-2 * Math.log((a + 0.5) / 2 ** 32)) * Math.cos((2 * Math.PI * b) / 2 ** 32);
  });

describe('evaluate', () => {
  it('gives a row for each score and set, and the averages', () => {
    const inDistribution = new Map<string, Scores>([...input.inDistribution, ['msp', [1, 1, 0, 0]]]);
    const ood = input.ood.map(({ name, scores }) => ({
      name,
      scores: new Map<string, Scores>([...scores, ['msp', Array(scores.get('energy')!.length).fill(0)]]),
    }));
    const { protocol, convention, results } = evaluate({ ...input, inDistribution, ood });
    expect({ protocol, convention }).toEqual({ protocol: 'full', convention: 'paper' });
    expect(results.map(({ score, set }) => `${score} ${set}`)).toEqual([
      ...['energy far', 'energy near', 'energy average', 'msp far', 'msp near', 'msp average'],
    ]);
    const [far, near, average, tied] = results;
    expect(far).toMatchObject({ fpr95: 0, auroc: 1, aupr_in: 1, aupr_out: 1, ties: 0, in_count: 4, ood_count: 2 });
    expect(near).toMatchObject({ fpr95: 0.5, auroc: (3 + 0 + 4 + 4) / 16 });
    expect(average!.auroc).toBeCloseTo((1 + 11 / 16) / 2, 12);
    expect(average!.fpr95).toBeCloseTo(0.25, 12);
    expect(average!.aupr_in).toBeCloseTo((1 + near!.aupr_in) / 2, 12);
    expect(tied!.ties).toBe(0.5);
    expect(far!.std).toBeUndefined();
    expect(far!.interval).toBeUndefined();
  });

  it('paper and oe: ten draws of one fifth as many, mean and standard deviation; the seed decides', () => {
    const inScores = normals(500, 2, 1);
    const oodScores = normals(400, 0, 2);
    const run = (protocol: Protocol, seed = 1) =>
      evaluate({
        inDistribution: new Map([['energy', inScores]]),
        ood: [{ name: 'a', scores: new Map([['energy', oodScores]]) }],
        protocol,
        seed,
        resamples: 0,
      });
    const [row] = run('paper').results;
    expect(row).toMatchObject({ draws: 10, ood_count: 100, ood_available: 400 });
    expect(row!.std!.auroc).toBeGreaterThan(0);
    // A draw of 100 of 400 has about the standard deviation of AUROC that sampling of OOD images gives: a few percent at most.
    expect(row!.std!.auroc).toBeLessThan(0.05);
    expect(row!.auroc).toBeCloseTo(metrics(inScores, oodScores, { convention: 'paper' }).auroc, 1);
    expect(run('paper')).toEqual(run('paper'));
    expect(run('paper', 2).results[0]!.fpr95).not.toBe(row!.fpr95);
    expect(run('oe').convention).toBe('oe');
    expect(run('openood').results[0]).toMatchObject({ draws: 1, ood_count: 400 });
    expect(run('openood').results[0]!.auroc).toBe(metrics(inScores, oodScores, { convention: 'openood' }).auroc);
  });

  it('draws a set once that is no larger than a draw', () => {
    const [row] = evaluate({
      ...input,
      protocol: 'paper',
      ood: [{ name: 'one', scores: new Map([['energy', [1]]]) }],
    }).results;
    expect(row).toMatchObject({ draws: 1, ood_count: 1, ood_available: 1 });
    expect(row!.std).toBeUndefined();
  });

  it('bootstrap intervals hold the true AUROC about as often as they say', () => {
    // Normal scores two standard deviations apart: AUROC = Φ(2 / √2) = Φ(√2).
    const truth = 0.9213503964748575;
    let held = 0;
    for (let i = 0; i < 60; i++) {
      const [row] = evaluate({
        inDistribution: new Map([['energy', normals(200, 2, 10 + i)]]),
        ood: [{ name: 'a', scores: new Map([['energy', normals(200, 0, 1000 + i)]]) }],
        protocol: 'full',
        resamples: 200,
      }).results;
      const [low, high] = row!.interval!.auroc;
      expect(low).toBeLessThan(row!.auroc);
      expect(high).toBeGreaterThan(row!.auroc);
      if (low <= truth && truth <= high) held++;
    }
    // 95 % of 60 is 57; fewer than 52 has a probability below 2 % for a true 95 % interval.
    expect(held).toBeGreaterThanOrEqual(52);
  });

  it.each<[string, Partial<EvaluationInput>, string]>([
    ['an empty set', { ood: [{ name: 'void', scores: new Map([['energy', []]]) }] }, "'void' has no images"],
    ['a NaN', { inDistribution: new Map([['energy', [1, Number.NaN]]]) }, 'score 1 is NaN'],
  ])('refuses %s', (_, change, message) => {
    expect(() => evaluate({ ...input, ...change })).toThrow(DataError);
    expect(() => evaluate({ ...input, ...change })).toThrow(message);
  });

  it.each<[string, Partial<EvaluationInput>, string]>([
    [
      'an unknown protocol',
      { protocol: 'mine' as Protocol },
      "no protocol 'mine'; choose from paper, oe, openood, full",
    ],
    ['no score', { inDistribution: new Map() }, 'no score to evaluate'],
    ['a score that a set lacks', { ood: [{ name: 'odd', scores: new Map() }] }, "'odd' has no score 'energy'"],
    ['no set', { ood: [] }, 'no OOD set'],
    ['two sets of one name', { ood: [input.ood[0]!, input.ood[0]!] }, "two OOD sets are called 'far'"],
    ['a set called average', { ood: [{ ...input.ood[0]!, name: 'average' }] }, "cannot be called 'average'"],
  ])('refuses %s', (_, change, message) => {
    expect(() => evaluate({ ...input, ...change })).toThrow(UsageError);
    expect(() => evaluate({ ...input, ...change })).toThrow(message);
  });
});

describe('accuracy', () => {
  const logits = [4, 0, 5, 0, 0, 6, 7, 0];
  it('is the share of images whose largest logit is the label’s', () => {
    expect(accuracy(logits, [0, 0, 0, 0], 2)).toBe(0.75);
  });

  it.each([
    ['too few labels', [0], '1 labels for the logits of 4 images'],
    ['a label out of range', [0, 2, 0, 0], 'label 1 is 2'],
    ['a negative label', [-1, 0, 0, 0], 'label 0 is -1'],
  ])('refuses %s', (_, labels, message) => {
    expect(() => accuracy(logits, labels, 2)).toThrow(message);
  });

  it('refuses no images, and logits of other classes', () => {
    expect(() => accuracy([], [], 2)).toThrow('no in-distribution');
    expect(() => accuracy([1, 2, 3], [0], 2)).toThrow('3 logits are not whole rows of 2');
  });
});

describe('formatTable', () => {
  it('lines up percentages under headings that name the convention', () => {
    const interval = { fpr95: [0.5, 0.6], auroc: [0.8, 0.9], aupr_in: [1, 1], aupr_out: [0, 0.1] } as const;
    const table = formatTable({
      accuracy: 0.84391,
      protocol: 'openood',
      convention: 'openood',
      results: [
        {
          ...{ score: 'energy', set: 'svhn', fpr95: 0.57653, auroc: 0.8883, aupr_in: 1, aupr_out: 0.05, interval },
          ...{ in_count: 10_000, ood_count: 2000, ood_available: 2000, draws: 1, ties: 0.0123 },
        },
        {
          ...{ score: 'energy', set: 'average', fpr95: 0, auroc: 0.5, aupr_in: 0.25, aupr_out: 0.125 },
          ...{ in_count: 10_000, draws: 1, ties: 0 },
        },
      ],
    });
    expect(table).toBe(
      [
        'accuracy 84.39 % of 10000 in-distribution images',
        'protocol openood: OOD positive, first threshold with TPR >= 95 %, trapezoid AUPR, all images; in %, ± over draws, [95 % bootstrap interval]',
        'score   set      FPR95 (OOD positive, first)  AUROC               AUPR-in (trapezoid)    AUPR-out (trapezoid)  OOD images',
        'energy  svhn     57.65 [50.0, 60.0]           88.83 [80.0, 90.0]  100.00 [100.0, 100.0]  5.00 [0.0, 10.0]      2000',
        'energy  average  0.00                         50.00               25.00                  12.50',
        'energy on svhn: 1.23 % of the pairs of images have equal scores, and count one half in AUROC',
      ].join('\n'),
    );
  });
});
