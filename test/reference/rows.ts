/** What scores compute of rows, in float64, by its definition. */

const rowsOf = (x: ArrayLike<number>, columns: number): number[][] =>
  Array.from({ length: x.length / columns }, (_, n) => Array.from({ length: columns }, (_, i) => x[n * columns + i]!));

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** Each row in descending order. */
export const sorted = (x: ArrayLike<number>, columns: number): number[][] =>
  rowsOf(x, columns).map((row) => row.sort((a, b) => b - a));

/** Of each row of logits, [largest, Σ exp, Σ expm1] of (f - largest)/T over the others. */
export function exponentials(logits: ArrayLike<number>, classes: number, temperature: number): number[] {
  return sorted(logits, classes).flatMap(([largest, ...others]) => {
    const differences = others.map((value) => (value - largest!) / temperature);
    return [largest!, sum(differences.map(Math.exp)), sum(differences.map(Math.expm1))];
  });
}

/** Σ (p (1 - p))^gamma over the `count` largest probabilities; 1 - p is summed from the others. */
export function generalisedEntropy(
  logits: ArrayLike<number>,
  { classes, count, gamma }: { classes: number; count: number; gamma: number },
): number[] {
  return sorted(logits, classes).map((row) => {
    const weights = row.map((value) => Math.exp(value - row[0]!));
    const total = sum(weights);
    return sum(
      weights.slice(0, count).map((weight, j) => {
        const others = sum(weights.filter((_, k) => k !== j));
        return ((weight / total) * (others / total)) ** gamma;
      }),
    );
  });
}

/** ASH-S: the `kept` largest, of equals the first, times exp(sum of all / their sum). */
export function prune(x: ArrayLike<number>, columns: number, kept: number): number[] {
  return rowsOf(x, columns).flatMap((row) => {
    const order = row.map((value, i) => ({ value, i })).sort((a, b) => b.value - a.value || a.i - b.i);
    const stay = new Set(order.slice(0, kept).map(({ i }) => i));
    const after = sum(row.filter((_, i) => stay.has(i)));
    const scale = after > 0 ? Math.exp(sum(row) / after) : 1;
    return row.map((value, i) => (stay.has(i) ? value * scale : 0));
  });
}

export const squares = (x: ArrayLike<number>, columns: number): number[] =>
  rowsOf(x, columns).map((row) => sum(row.map((value) => value ** 2)));

export const unit = (x: ArrayLike<number>, columns: number): number[] =>
  rowsOf(x, columns).flatMap((row) => {
    const length = Math.sqrt(sum(row.map((value) => value ** 2)));
    return length > 0 ? row.map((value) => value / length) : row;
  });
