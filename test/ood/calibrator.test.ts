import { describe, expect, it } from 'vitest';
import { stream } from '../../src/data/random.js';
import { DataError, UsageError } from '../../src/errors.js';
import { betaDistribution, betaQuantile } from '../../src/ood/beta.js';
import { Calibrator } from '../../src/ood/calibrator.js';

/** The distribution function of Beta(a, b) by its definition: Simpson's rule over the density, a and b at least 1. */
function quadrature(x: number, a: number, b: number): number {
  const density = (t: number) => t ** (a - 1) * (1 - t) ** (b - 1);
  const integral = (to: number, steps = 20_000) => {
    let sum = density(0) + density(to);
    for (let i = 1; i < steps; i++) sum += (i % 2 ? 4 : 2) * density((i * to) / steps);
    return (sum * to) / steps / 3;
  };
  return integral(x) / integral(1);
}

describe('the beta distribution', () => {
  it.each([
    [0.3, 2, 5],
    [0.9, 20, 3],
    [0.95, 96, 5],
    [0.02, 1, 40],
    [0.5, 7, 7],
  ])('I_%f(%i, %i) is the integral of the density', (x, a, b) => {
    expect(betaDistribution(x, a, b)).toBeCloseTo(quadrature(x, a, b), 9);
  });

  it('has closed forms: Beta(n, 1) is x^n, Beta(1, n) is 1 - (1 - x)^n', () => {
    expect(betaDistribution(0.999, 5000, 1)).toBeCloseTo(0.999 ** 5000, 12);
    expect(betaDistribution(0.001, 1, 5000)).toBeCloseTo(1 - 0.999 ** 5000, 12);
    expect(betaQuantile(0.025, 300, 1)).toBeCloseTo(0.025 ** (1 / 300), 12);
  });
});

const uniforms = (count: number, name: string) => {
  const random = stream(11, 'calibrator test', name);
  return Float64Array.from({ length: count }, () => random.uniform());
};

describe('Calibrator', () => {
  it('takes the order statistic that accepts at least the rate asked for', () => {
    // Of 19 scores, each of the 20 gaps between them holds a new one with probability 1/20: τ is the smallest.
    const scores = Array.from({ length: 19 }, (_, i) => 19 - i);
    const gate = new Calibrator(scores, { accept: 0.95 });
    expect(gate.threshold).toBe(1);
    expect([gate.accepts(1), gate.accepts(0.99)]).toEqual([true, false]);
    expect([gate.pValue(0), gate.pValue(1), gate.pValue(19), gate.pValue(20)]).toEqual([0.05, 0.1, 1, 1]);
    expect(gate.at(0.5).threshold).toBe(10);
  });

  it('accepts what has a p-value above 1 - accept, ties and all', () => {
    const scores = Float64Array.from(uniforms(200, 'ties'), (u) => Math.round(20 * u));
    for (const accept of [0.9, 0.95, 0.99, 0.5]) {
      const gate = new Calibrator(scores, { accept });
      for (let score = -1; score <= 21; score++) {
        expect(gate.accepts(score)).toBe(gate.pValue(score) > 1 - accept + 1e-12);
      }
    }
  });

  it('states bounds that hold as often as they claim, and a rate that is right on average', () => {
    // Of uniform scores the true acceptance rate is known: 1 - τ.
    const runs = 4000;
    const n = 199;
    const all = uniforms(runs * n, 'coverage');
    let inside = 0;
    let sum = 0;
    for (let run = 0; run < runs; run++) {
      const gate = new Calibrator(all.subarray(run * n, (run + 1) * n), { accept: 0.9 });
      const rate = 1 - gate.threshold;
      const { lower, upper } = gate.bounds(0.9);
      if (rate >= lower && rate <= upper) inside++;
      sum += rate;
    }
    // Four standard errors of 4000 draws: 0.019 and 0.0014.
    expect(Math.abs(inside / runs - 0.9)).toBeLessThan(0.019);
    expect(Math.abs(sum / runs - 0.9)).toBeLessThan(0.0014);
  });

  it.each([
    // scipy.stats.betabinom(m, n + 1 - k, k).ppf([0.025, 0.975]) / m
    [1000, 1000, 0.95, 0.93, 0.968],
    [50, 199, 0.9, 0.8, 0.98],
    [5000, 5000, 0.95, 0.9412, 0.9582],
    [10, 19, 0.95, 0.7, 1],
    [200, 400, 0.5, 0.415, 0.585],
  ])(
    'predicts of %i further inputs, after %i and at %f, what the beta-binomial distribution says',
    (m, n, accept, lower, upper) => {
      const gate = new Calibrator(uniforms(n, 'predict'), { accept });
      expect(gate.predict(m)).toEqual({ lower, upper });
      expect(() => gate.predict(0)).toThrow('0 further inputs: give a whole number above 0');
      expect(() => gate.predict(10, 1)).toThrow(UsageError);
    },
  );

  it('predicts what the other half of a set accepts as often as it claims', () => {
    const runs = 4000;
    const n = 200;
    const all = uniforms(runs * 2 * n, 'halves');
    let held = 0;
    for (let run = 0; run < runs; run++) {
      const gate = new Calibrator(all.subarray(2 * run * n, (2 * run + 1) * n), { accept: 0.95 });
      const other = all.subarray((2 * run + 1) * n, (2 * run + 2) * n);
      const rate = other.filter((score) => gate.accepts(score)).length / n;
      const { lower, upper } = gate.predict(n, 0.95);
      if (rate >= lower && rate <= upper) held++;
    }
    // The interval of whole counts holds a little more than 95 %: betabinom(200, 191, 10) gives it 96.4 %.
    expect(Math.abs(held / runs - 0.9645)).toBeLessThan(4 * Math.sqrt((0.9645 * 0.0355) / runs));
  });

  it('a class: each class gets the rate, which one threshold for both gives neither', () => {
    const n = 4000;
    // Scores of class 1 are 0.3 higher.
    const draw = (name: string) => uniforms(n, name).map((u, i) => u + 0.3 * (i % 2));
    const labels = Array.from({ length: n }, (_, i) => i % 2);
    const rates = (gates: readonly Calibrator[]) => {
      const fresh = draw('later');
      return [0, 1].map((k) => {
        const own = fresh.filter((_, i) => i % 2 === k);
        return own.filter((score) => gates[k]!.accepts(score)).length / own.length;
      });
    };
    const gates = Calibrator.perClass(draw('held'), labels, 2, { accept: 0.9 });
    // Beta and binomial, 2000 each: a standard error of 0.0095.
    for (const rate of rates(gates)) expect(Math.abs(rate - 0.9)).toBeLessThan(0.038);
    const one = new Calibrator(draw('held'), { accept: 0.9 });
    expect(rates([one, one])[0]).toBeLessThan(0.85);
    expect(rates([one, one])[1]).toBeGreaterThan(0.99);
    expect(() => Calibrator.perClass([1, 2], [0], 2, { accept: 0.5 })).toThrow(
      '1 labels for 2 scores; give one for each',
    );
    expect(() => Calibrator.perClass([1, 2], [0, 2], 2, { accept: 0.5 })).toThrow(
      'a label is 2; the classes are 0 to 1',
    );
    expect(() => Calibrator.perClass([1, 2], [0, 0], 2, { accept: 0.5, classNames: ['cat', 'dog'] })).toThrow(
      'dog: 0 calibration scores are too few to accept 50 %; give at least 1, or calibrate all classes together',
    );
  });

  it('has a threshold at whatever rate', () => {
    for (const accept of [1e-12, 1e-6, 0.5, 0.99]) {
      const { threshold } = new Calibrator([3, ...uniforms(100, 'rates')], { accept });
      expect(threshold).toBeLessThanOrEqual(3);
    }
    expect(new Calibrator([1, 2, 3], { accept: 1e-12 }).threshold).toBe(3);
  });

  it('survives JSON', () => {
    const gate = new Calibrator(uniforms(100, 'json'), { accept: 0.95 });
    const copy = Calibrator.from(JSON.parse(JSON.stringify(gate)));
    expect(copy.threshold).toBe(gate.threshold);
    expect(copy.scores).toEqual(gate.scores);
    expect(copy.bounds()).toEqual(gate.bounds());
  });

  it('refuses what it cannot calibrate on', () => {
    expect(() => new Calibrator([1, 2, 3], { accept: 0.95 })).toThrow(/3 calibration scores are too few.*at least 19/);
    expect(() => new Calibrator([1], { accept: 0.57 })).toThrow(/^1 calibration scores are too few to accept 57 %; /);
    expect(() => new Calibrator([1, Number.NaN], { accept: 0.5 })).toThrow(DataError);
    expect(() => new Calibrator([1, 2], { accept: 1 })).toThrow(UsageError);
    expect(() => new Calibrator([1, 2], { accept: 0.5 }).bounds(1)).toThrow(UsageError);
    expect(() => new Calibrator([1, 2], { accept: 0.5 }).pValue(Number.NaN)).toThrow(DataError);
  });
});
