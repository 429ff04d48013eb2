export interface Bin {
  readonly x0: number;
  readonly x1: number;
  readonly count: number;
}

/** Counts in `bins` equal bins from low to high; what lies outside falls into the first or last. */
export function histogram(values: Float64Array, low: number, high: number, bins: number): Bin[] {
  const width = (high - low) / bins;
  const counts = new Uint32Array(bins);
  for (const value of values) counts[Math.max(0, Math.min(bins - 1, Math.floor((value - low) / width)))]!++;
  return Array.from(counts, (count, i) => ({ x0: low + i * width, x1: low + (i + 1) * width, count }));
}

/** Around all values, with a little air. */
export function extent(...values: readonly ArrayLike<number>[]): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const list of values) {
    for (let i = 0; i < list.length; i++) {
      low = Math.min(low, list[i]!);
      high = Math.max(high, list[i]!);
    }
  }
  const air = 0.03 * (high - low) || 1;
  return [low - air, high + air];
}
