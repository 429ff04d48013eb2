import { DataError, UsageError } from '../errors.js';
import { betaQuantile } from './beta.js';
import type { Calibrator } from './calibrator.js';
import type { Scores } from './metrics.js';

/** A tail of the calibration's scores, and how often at most a score falls into it where nothing has drifted. */
export interface Tail {
  readonly side: 'below' | 'above';
  readonly cut: number;
  /** An upper bound on the true probability of the tail, calibration's own uncertainty counted in. */
  readonly bound: number;
}

/** What {@link Monitor.toJSON} gives: all that a monitor is. */
export interface MonitorState {
  readonly falseAlarmRate: number;
  readonly window: number;
  /** τ of the calibrator. */
  readonly threshold: number;
  readonly tails: readonly Tail[];
  readonly streams: number;
  readonly count: number;
  readonly refused: number;
  readonly recent: { readonly count: number; readonly refused: number };
  /** Capital that is not at stake yet, and that of each bet: `tails` x 4, row-major. */
  readonly reserve: number;
  readonly bets: readonly number[];
}

/** Tails of these fractions of the calibration's scores are watched, on both sides. */
const LEVELS = [0.01, 0.05, 0.25, 0.5] as const;
/** Bets that a tail's odds are as many times its bound's. */
const ODDS = [1.5, 2.5, 6, 20] as const;
/**
 * A bet alone raises the alarm; what it wins beyond so many times that is given away, which bounds how long an alarm outlasts
 * a drift that is over.
 */
const MOST = 100;

/**
 * Watches scores as they come, in constant memory: how many were refused lately, and whether their distribution has drifted
 * from the calibration's. It needs no GPU.
 *
 * The drift is found by a test by betting (Shafer 2021; Shin, Ramdas & Rinaldo 2022). For each {@link Tail}, bets are placed
 * that scores fall into it more often than its bound; where they do not, a bet is fair or unfavourable, whatever its past,
 * so the capital of all bets together, which starts at 1, is a supermartingale. By Ville's inequality it ever reaches 2/α
 * with probability α/2 at most, however long the stream. Since a drift may begin at any time, capital is put at stake
 * little by little: 1 / (t (t + 1)) of it at the t-th score, all of it in the end. The bounds are Clopper and Pearson's: the
 * probability of a tail of k of n scores is Beta(k, n + 1 - k) over calibration sets, and all bounds hold at once with
 * probability 1 - α/2. So α is the probability that there is ever a false alarm, over calibration and stream.
 *
 * This asks that scores are independent where nothing drifts. Frames of one video are not: give one of many.
 */
export class Monitor {
  readonly falseAlarmRate: number;
  /** The recent counts forget: a score weighs exp(-age / window). */
  readonly window: number;
  private readonly threshold: number;
  private readonly tails: readonly Tail[];
  private streams = 1;
  private total = 0;
  private totalRefused = 0;
  private recentTotal = 0;
  private recentRefused = 0;
  private reserve = 1;
  private readonly capital: Float64Array;
  /** What a bet's capital is multiplied by where a score falls into its tail, and where it does not. */
  private readonly factors: { readonly hit: Float64Array; readonly miss: Float64Array };

  /**
   * @param calibrator of the gate whose scores are watched; with a threshold a class, make a monitor for each
   * @param options.falseAlarmRate α, the probability of ever giving a false alarm, in (0, 1)
   * @param options.window how many scores the recent counts go back, about
   * @throws {UsageError} if an option is out of range
   */
  constructor(calibrator: Calibrator, options: { falseAlarmRate?: number; window?: number } = {}) {
    const { falseAlarmRate = 0.01, window = 1000 } = options;
    if (!(falseAlarmRate > 0 && falseAlarmRate < 1)) {
      throw new UsageError(`the false-alarm rate is ${falseAlarmRate}; give one between 0 and 1`);
    }
    if (!(window >= 1 && window < Infinity)) {
      throw new UsageError(`the window is ${window} scores; give a number of 1 or more`);
    }
    this.falseAlarmRate = falseAlarmRate;
    this.window = window;
    this.threshold = calibrator.threshold;
    this.tails = tailsOf(calibrator.scores, falseAlarmRate / 2);
    this.capital = new Float64Array(this.tails.length * ODDS.length);
    this.factors = factorsOf(this.tails);
  }

  /**
   * Take in scores (of a gate by energy: -E), the higher the more in-distribution, in the order in which they came.
   * @throws {DataError} if one is NaN; those before it are taken in
   */
  add(scores: number | Scores): void {
    if (typeof scores === 'number') this.take(scores);
    else for (const score of scores) this.take(score);
  }

  private take(score: number): void {
    if (Number.isNaN(score)) throw new DataError('a score to be watched is NaN; check the logits');
    const isRefused = score < this.threshold ? 1 : 0;
    const kept = Math.exp(-1 / this.window);
    this.total++;
    this.totalRefused += isRefused;
    this.recentTotal = this.recentTotal * kept + 1;
    this.recentRefused = this.recentRefused * kept + isRefused;

    const stake = this.reserve / (this.total + 1);
    this.reserve -= stake;
    const most = ((MOST * 2) / this.falseAlarmRate) * this.capital.length;
    const { hit, miss } = this.factors;
    this.tails.forEach(({ side, cut }, tail) => {
      const factors = (side === 'below' ? score < cut : score > cut) ? hit : miss;
      for (let bet = tail * ODDS.length; bet < (tail + 1) * ODDS.length; bet++) {
        this.capital[bet] = Math.min(most, (this.capital[bet]! + stake) * factors[bet]!);
      }
    });
  }

  /** Scores taken in so far. */
  get count(): number {
    return this.total;
  }

  /** How many of them were refused. */
  get refused(): number {
    return this.totalRefused;
  }

  /** The same, of about the last `window` scores: weights, so not whole numbers. */
  get recent(): { count: number; refused: number } {
    return { count: this.recentTotal, refused: this.recentRefused };
  }

  /** The capital: an e-value against "no drift". 1 at first; it grows exponentially while scores drift, and shrinks after. */
  get evidence(): number {
    return this.reserve + this.capital.reduce((sum, value) => sum + value, 0) / Math.max(1, this.capital.length);
  }

  /** Whether the scores have drifted from the calibration's. Without a drift it is ever true with probability α at most. */
  get drifted(): boolean {
    return this.evidence >= 2 / this.falseAlarmRate;
  }

  /**
   * One monitor of all these monitors' streams (tabs, workers), to be asked or fed further. Counts add up; the capital is the
   * mean over the streams, and so the wealth of gamblers who share it: a supermartingale still, whether the streams are
   * independent or not, so the merged monitor keeps α. (A product would find a drift that all share sooner, but holds for
   * independent streams alone, and would count twice what is merged twice.) m streams take about ln m more evidence.
   * @throws {UsageError} if there are none, or they differ in calibration or options
   */
  static merge(monitors: readonly Monitor[]): Monitor {
    const states = monitors.map((monitor) => monitor.toJSON());
    const [first] = states;
    if (!first) throw new UsageError('there is no monitor to merge');
    const settings = ({ falseAlarmRate, window, threshold, tails }: MonitorState) =>
      JSON.stringify([falseAlarmRate, window, threshold, tails]);
    if (states.some((state) => settings(state) !== settings(first))) {
      throw new UsageError('monitors of different calibrations or options cannot be merged; make them alike');
    }
    const sum = (of: (state: MonitorState) => number) => states.reduce((total, state) => total + of(state), 0);
    const streams = sum((state) => state.streams);
    const mean = (of: (state: MonitorState) => number) => sum((state) => state.streams * of(state)) / streams;
    return Monitor.from({
      ...first,
      streams,
      count: sum(({ count }) => count),
      refused: sum(({ refused }) => refused),
      recent: { count: sum(({ recent }) => recent.count), refused: sum(({ recent }) => recent.refused) },
      reserve: mean(({ reserve }) => reserve),
      bets: first.bets.map((_, bet) => mean(({ bets }) => bets[bet]!)),
    });
  }

  /** For `JSON.stringify` and `postMessage`; {@link Monitor.from} undoes it. */
  toJSON(): MonitorState {
    return {
      ...{ falseAlarmRate: this.falseAlarmRate, window: this.window, threshold: this.threshold, tails: this.tails },
      ...{ streams: this.streams, count: this.total, refused: this.totalRefused, recent: this.recent },
      ...{ reserve: this.reserve, bets: [...this.capital] },
    };
  }

  /** @throws {DataError} if this is not what {@link Monitor.toJSON} gave */
  static from(state: MonitorState): Monitor {
    checkState(state);
    const monitor: Monitor = Object.create(Monitor.prototype);
    return Object.assign(monitor, {
      ...{ falseAlarmRate: state.falseAlarmRate, window: state.window, threshold: state.threshold, tails: state.tails },
      ...{ streams: state.streams, total: state.count, totalRefused: state.refused, reserve: state.reserve },
      ...{ recentTotal: state.recent.count, recentRefused: state.recent.refused },
      ...{ capital: Float64Array.from(state.bets), factors: factorsOf(state.tails) },
    });
  }
}

/** The tails of n ascending scores whose bounds all hold at once with probability 1 - `risk` over calibration sets. */
function tailsOf(scores: Float64Array, risk: number): Tail[] {
  const n = scores.length;
  const share = risk / (2 * LEVELS.length);
  return LEVELS.flatMap((level) => {
    const k = Math.floor(level * (n + 1) + 1e-9);
    if (k < 1) return [];
    const bound = betaQuantile(1 - share, k, n + 1 - k);
    return [
      { side: 'below', cut: scores[k - 1]!, bound },
      { side: 'above', cut: scores[n - k]!, bound },
    ] as const;
  });
}

function factorsOf(tails: readonly Tail[]): { hit: Float64Array; miss: Float64Array } {
  // Where odds are r times those of the bound q, the tail has probability θ = r q / (1 - q + r q).
  const bets = tails.flatMap(({ bound }) => ODDS.map((odds) => ({ odds, scale: 1 - bound + odds * bound })));
  return {
    hit: Float64Array.from(bets, ({ odds, scale }) => odds / scale),
    miss: Float64Array.from(bets, ({ scale }) => 1 / scale),
  };
}

function checkState(state: MonitorState): void {
  const isNumber = (value: unknown, low: number, high = Infinity) =>
    typeof value === 'number' && value >= low && value <= high;
  const isTail = (tail: Tail) =>
    (tail?.side === 'below' || tail?.side === 'above') && Number.isFinite(tail.cut) && isNumber(tail.bound, 0, 1);
  const fits =
    isNumber(state?.falseAlarmRate, 1e-300, 1) &&
    isNumber(state.window, 1) &&
    Number.isFinite(state.threshold) &&
    [state.streams, state.count, state.refused].every(Number.isSafeInteger) &&
    isNumber(state.streams, 1) &&
    isNumber(state.refused, 0, state.count) &&
    isNumber(state.recent?.count, 0) &&
    isNumber(state.recent.refused, 0) &&
    isNumber(state.reserve, 0, 1) &&
    Array.isArray(state.tails) &&
    state.tails.every(isTail) &&
    Array.isArray(state.bets) &&
    state.bets.length === state.tails.length * ODDS.length &&
    state.bets.every((bet) => isNumber(bet, 0, Number.MAX_VALUE));
  if (!fits) throw new DataError('this is not the state of a monitor; give what its toJSON() gave');
}
