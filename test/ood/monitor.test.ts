import { describe, expect, it } from 'vitest';
import { stream } from '../../src/data/random.js';
import { DataError, UsageError } from '../../src/errors.js';
import { Calibrator } from '../../src/ood/calibrator.js';
import { Monitor } from '../../src/ood/monitor.js';

const random = stream(3, 'monitor test', 'scores');
const uniforms = (count: number) => Float64Array.from({ length: count }, () => random.uniform());
const calibrator = (n: number) => new Calibrator(uniforms(n), { accept: 0.95 });

/** How many of `runs` ever alarm over `length` scores of `draw`, each with its own calibration of n uniform scores. */
function alarms(runs: number, length: number, n: number, falseAlarmRate: number, draw: (t: number) => number): number {
  let count = 0;
  for (let run = 0; run < runs; run++) {
    const monitor = new Monitor(calibrator(n), { falseAlarmRate });
    for (let t = 0; t < length; t++) {
      monitor.add(draw(t));
      if (monitor.drifted) {
        count++;
        break;
      }
    }
  }
  return count;
}

describe('Monitor, where nothing drifts', () => {
  it.each([
    [100, 400, 5000],
    [1000, 150, 20_000],
  ])('calibrated on %i scores alarms no more often than it says', (n, runs, length) => {
    // P(more than this many of `runs` | rate 0.1) < 1e-4: four standard deviations of the binomial.
    const most = 0.1 * runs + 4 * Math.sqrt(0.09 * runs);
    expect(alarms(runs, length, n, 0.1, () => random.uniform())).toBeLessThanOrEqual(most);
  });

  describe('but each tail is as likely as its bound', () => {
    const fresh = new Monitor(calibrator(1000), { falseAlarmRate: 0.2 }).toJSON();
    // One tail alone: the lower 5 %, as likely as its bound allows.
    const tail = fresh.tails.find(({ side, bound }) => side === 'below' && bound > 0.05 && bound < 0.1)!;
    const alone = (change = {}) => Monitor.from({ ...fresh, tails: [tail], bets: fresh.bets.slice(0, 4), ...change });
    const score = (hit: boolean) => tail.cut - (hit ? 1 : 0);

    it('is a fair game: over all sequences of 10 scores the mean of the evidence is 1', () => {
      let mean = 0;
      for (let sequence = 0; sequence < 1 << 10; sequence++) {
        // A rate so low that no winnings are given away yet.
        const monitor = alone({ falseAlarmRate: 1e-12 });
        let probability = 1;
        for (let t = 0; t < 10; t++) {
          const hit = ((sequence >> t) & 1) === 1;
          probability *= hit ? tail.bound : 1 - tail.bound;
          monitor.add(score(hit));
        }
        mean += probability * monitor.evidence;
      }
      expect(mean).toBeCloseTo(1, 10);
    });

    it('reaches 2/α in a fraction of α/2 of cases at most (Ville)', () => {
      const runs = 2000;
      let reached = 0;
      for (let run = 0; run < runs; run++) {
        const monitor = alone();
        for (let t = 0; t < 400 && !monitor.drifted; t++) monitor.add(score(random.uniform() < tail.bound));
        if (monitor.drifted) reached++;
      }
      expect(reached / runs).toBeLessThan(0.1 + 4 * Math.sqrt(0.09 / runs));
      // Not a test that never fires.
      expect(reached / runs).toBeGreaterThan(0.01);
    });
  });
});

describe('Monitor, where scores drift', () => {
  /** From score `start` on, a fraction of the images is out of distribution: below all others. */
  const drifting = (fraction: number, start: number) => (t: number) =>
    t >= start && random.uniform() < fraction ? -1 : random.uniform();

  it.each([
    [0.2, 0, 400],
    [0.5, 0, 60],
    [0.2, 20_000, 900],
    [0.5, 20_000, 140],
  ])('with %f of strangers from score %i on alarms within %i scores', (fraction, start, within) => {
    for (let run = 0; run < 10; run++) {
      const monitor = new Monitor(calibrator(2000));
      const draw = drifting(fraction, start);
      let t = 0;
      for (; t < start + within && !monitor.drifted; t++) monitor.add(draw(t));
      expect(t).toBeGreaterThan(start);
      expect(monitor.drifted).toBe(true);
    }
  });

  it('finds scores that are too good as well, and gets over a drift that has ended', () => {
    const monitor = new Monitor(calibrator(2000));
    for (let t = 0; t < 2000; t++) monitor.add(random.uniform());
    expect(monitor.drifted).toBe(false);
    for (let t = 0; t < 100; t++) monitor.add(0.999);
    expect(monitor.drifted).toBe(true);
    for (let t = 0; t < 3000; t++) monitor.add(random.uniform());
    expect(monitor.drifted).toBe(false);
  });

  it('counts what was refused, in all and lately', () => {
    const gate = calibrator(1000);
    const monitor = new Monitor(gate, { window: 100 });
    monitor.add(new Float64Array(900).fill(0.5));
    monitor.add(new Float64Array(100).fill(gate.threshold - 1e-9));
    expect([monitor.count, monitor.refused]).toEqual([1000, 100]);
    // Of weights exp(-age / 100), those of the last 100 make up 1 - 1/e.
    expect(monitor.recent.refused / monitor.recent.count).toBeCloseTo(1 - Math.exp(-1), 3);
    expect(monitor.recent.count).toBeCloseTo(1 / (1 - Math.exp(-1 / 100)), 1);
  });
});

describe('monitors of several streams', () => {
  const gate = calibrator(2000);
  const fed = (count: number, draw: () => number) => {
    const monitor = new Monitor(gate, { falseAlarmRate: 0.05 });
    for (let t = 0; t < count; t++) monitor.add(draw());
    return monitor;
  };

  it('merge to sums and to the mean of their evidence, in any grouping, and twice the same is the same', () => {
    const [a, b, c] = [fed(100, () => -1), fed(300, random.uniform.bind(random)), fed(50, () => 0.5)];
    const merged = Monitor.merge([a, b, c]);
    expect([merged.count, merged.refused]).toEqual([450, a.refused + b.refused + c.refused]);
    expect(merged.recent.count).toBeCloseTo(a.recent.count + b.recent.count + c.recent.count, 9);
    const mean = (a.evidence + b.evidence + c.evidence) / 3;
    expect(merged.evidence / mean).toBeCloseTo(1, 9);
    expect(Monitor.merge([Monitor.merge([a, b]), c]).evidence / mean).toBeCloseTo(1, 9);
    expect(Monitor.merge([b, b]).evidence / b.evidence).toBeCloseTo(1, 9);
    expect(merged.drifted).toBe(true);
  });

  it('that do not drift, merged again and again, alarm no more often than one says', () => {
    const runs = 100;
    let count = 0;
    for (let run = 0; run < runs; run++) {
      const own = calibrator(500);
      const parts = [0, 1, 2].map(() => new Monitor(own, { falseAlarmRate: 0.1 }));
      let alarmed = false;
      for (let round = 0; round < 40; round++) {
        for (const part of parts) part.add(uniforms(50));
        alarmed ||= Monitor.merge(parts).drifted;
      }
      if (alarmed) count++;
    }
    expect(count).toBeLessThanOrEqual(0.1 * runs + 4 * Math.sqrt(0.09 * runs));
  });

  it('go on after JSON as if they had not been away, in the same memory', () => {
    const monitor = fed(500, random.uniform.bind(random));
    const copy = Monitor.from(JSON.parse(JSON.stringify(monitor)));
    const more = uniforms(5000).map((score) => score / 2);
    const before = JSON.stringify(monitor).length;
    monitor.add(more);
    copy.add(more);
    expect(JSON.stringify(copy)).toBe(JSON.stringify(monitor));
    expect(copy.drifted).toBe(true);
    expect(JSON.stringify(monitor).length).toBeLessThan(1.5 * before);
  });

  it('refuse what cannot be merged, watched or read', () => {
    expect(() => Monitor.merge([])).toThrow('there is no monitor to merge');
    const other = new Monitor(calibrator(2000), { falseAlarmRate: 0.05 });
    expect(() => Monitor.merge([fed(1, () => 0), other])).toThrow(/^monitors of different calibrations or options/);
    expect(() => fed(1, () => Number.NaN)).toThrow('a score to be watched is NaN; check the logits');
    expect(() => new Monitor(gate, { falseAlarmRate: 0 })).toThrow(UsageError);
    expect(() => new Monitor(gate, { window: 0 })).toThrow('the window is 0 scores; give a number of 1 or more');
    const state = fed(10, () => 0.5).toJSON();
    for (const change of [
      { bets: [] },
      { bets: state.bets.map(() => Number.NaN) },
      { tails: undefined },
      { reserve: -1 },
      { streams: 0 },
      { refused: 11 },
      { window: '1000' },
      { recent: undefined },
    ]) {
      expect(() => Monitor.from({ ...state, ...change } as never), JSON.stringify(change)).toThrow(DataError);
    }
    expect(() => Monitor.from(undefined as never)).toThrow(
      'this is not the state of a monitor; give what its toJSON() gave',
    );
  });
});
