export interface Spread {
  readonly ms_median: number;
  readonly ms_min: number;
  readonly ms_max: number;
  readonly runs: number;
}

/** Median and range of times in milliseconds. */
export function spread(times: readonly number[]): Spread {
  const sorted = [...times].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { ms_median: median, ms_min: sorted[0], ms_max: sorted[sorted.length - 1], runs: sorted.length };
}
