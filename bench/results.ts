import type { Counts } from './counters.js';
import type { Spread } from './statistics.js';

/** A file of results. */
export interface Results {
  readonly adapter: Adapter | undefined;
  /** The driver's own name for itself and its version. */
  readonly driver: string;
  /** Dawn's, the same for every engine. */
  readonly toggles: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
  readonly date: string;
  /** Of this repository; absent where it is none. */
  readonly commit?: string;
  readonly command: string;
  readonly rows: readonly Row[];
}

export interface Adapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
}

/** What became of one case in one engine: times, or why there are none. */
export type Row = TimeRow | CountRow | RefusedRow;

export interface TimeRow extends Spread {
  readonly case: string;
  readonly engine: string;
  /** How far its results might be from energate's, where that is more than the case allows the others. */
  readonly tolerance?: number;
  /** The engine's fastest setting, where it has several. */
  readonly setting?: string;
  /** The other settings' times of a run, in milliseconds, as the choice found them. */
  readonly slower?: Readonly<Record<string, number>>;
  /** Settings whose numbers were wrong, and how. */
  readonly wrong?: Readonly<Record<string, string>>;
  /** Runs a sample: `runs` is the number of samples. A group's row has none. */
  readonly repeats?: number;
  readonly gflops?: number;
  readonly gbs?: number;
  /** Of the best matrix product, or of the fastest copy of about as many bytes, in the same run. */
  readonly ceiling_share?: number;
  /** Times as long as energate's median. */
  readonly ratio?: number;
}

/** What one warm run asks of the GPU. */
export interface CountRow extends Counts {
  readonly case: string;
  readonly engine: string;
}

/** Wrong numbers, or not possible there. */
export interface RefusedRow {
  readonly case: string;
  readonly engine: string;
  readonly refused: string;
}

export const isTime = (row: Row): row is TimeRow => 'ms_median' in row;
export const isCount = (row: Row): row is CountRow => 'dispatches' in row;
