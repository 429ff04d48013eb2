import { UsageError } from '../errors.js';
import { vectorTimes } from './linear-algebra.js';
import type { Computer, ImageRows, Rows } from './rows.js';
import {
  exponentialsOf,
  type FitInput,
  type Score,
  type ScoreInput,
  type ScoreState,
  type Scoring,
  sizesOf,
  trainingSizes,
} from './scores/score.js';

/**
 * Scores of N images, in float64 on the CPU.
 * @throws {DataError} where a logit or feature is not finite, or they are not whole rows
 * @throws {UsageError} where the score needs what is not there
 */
export function scoreArrays(score: Score, input: ScoreInput): Float64Array {
  const sizes = sizesOf(input);
  const { numbers, finish } = score.score(imagesOf(input, sizes), input);
  return finishRows(sizes.count, numbers.map(dataOf), finish);
}

/**
 * What a score learns of N training images, in float64 on the CPU; nothing where it learns nothing.
 * @throws {DataError} where a logit or feature is not finite, there are too few images, or no labels and it needs them
 */
export async function fitArrays(score: Score, training: FitInput): Promise<ScoreState | undefined> {
  const images = imagesOf(training, trainingSizes(training));
  const compute: Computer['each'] = async (reduction) => reduction(images).map(dataOf);
  return score.fit?.(training, { each: compute, sum: compute });
}

/** The scores of `count` images, from the numbers of each. */
export function finishRows(count: number, numbers: readonly Float64Array[], finish: Scoring['finish']): Float64Array {
  return Float64Array.from({ length: count }, (_, n) =>
    finish(
      ...numbers.map((all) => {
        const columns = all.length / count;
        return all.subarray(n * columns, (n + 1) * columns);
      }),
    ),
  );
}

function imagesOf(
  { logits, features, labels, classes }: ScoreInput & Pick<FitInput, 'labels'>,
  { count, size }: { count: number; size: number },
): ImageRows {
  return {
    logits: new ArrayRows(Float64Array.from(logits), classes, count),
    get features() {
      if (!features) throw new UsageError('the score is one of features; give them beside the logits');
      return new ArrayRows(Float64Array.from(features), size, count);
    },
    get labels() {
      const ones = new Float64Array(count * classes);
      for (let n = 0; n < count; n++) ones[n * classes + labels![n]!] = 1;
      return new ArrayRows(ones, classes, count);
    },
  };
}

const dataOf = (rows: Rows): Float64Array => (rows as ArrayRows).data;

/** Rows in float64, row-major. */
class ArrayRows implements Rows {
  readonly data: Float64Array;
  readonly columns: number;
  private readonly count: number;

  constructor(data: Float64Array, columns: number, count: number) {
    this.data = data;
    this.columns = columns;
    this.count = count;
  }

  /** Rows of `columns` numbers, each what `f` makes of one of these. */
  private map(columns: number, f: (row: Float64Array, n: number) => ArrayLike<number>): ArrayRows {
    const data = new Float64Array(this.count * columns);
    for (let n = 0; n < this.count; n++) data.set(f(this.row(n), n), n * columns);
    return new ArrayRows(data, columns, this.count);
  }

  private row(n: number): Float64Array {
    return this.data.subarray(n * this.columns, (n + 1) * this.columns);
  }

  plus(other: Float64Array | Rows): Rows {
    return this.map(this.columns, (row, n) => {
      const addend = other instanceof ArrayRows ? other.row(n) : (other as Float64Array);
      return row.map((value, i) => value + addend[i]!);
    });
  }

  times(matrix: Float64Array, bias?: Float64Array): Rows {
    const columns = matrix.length / this.columns;
    return this.map(columns, (row) => vectorTimes(row, matrix, columns, bias?.slice()));
  }

  cross(other: Rows): Rows {
    const { columns } = other;
    const sum = new Float64Array(this.columns * columns);
    for (let n = 0; n < this.count; n++) {
      const [a, b] = [this.row(n), (other as ArrayRows).row(n)];
      for (let i = 0; i < this.columns; i++) {
        const value = a[i]!;
        if (value === 0) continue;
        for (let j = 0; j < columns; j++) sum[i * columns + j] += value * b[j]!;
      }
    }
    return new ArrayRows(sum, columns, this.columns);
  }

  clip(most: number): Rows {
    return this.map(this.columns, (row) => row.map((value) => Math.min(value, most)));
  }

  prune(kept: number): Rows {
    return this.map(this.columns, (row) => {
      const order = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
      const pruned = new Float64Array(row.length);
      let after = 0;
      for (const i of order.slice(0, kept)) {
        pruned[i] = row[i]!;
        after += row[i]!;
      }
      const before = row.reduce((a, b) => a + b, 0);
      return after > 0 ? pruned.map((value) => value * Math.exp(before / after)) : pruned;
    });
  }

  unit(): Rows {
    return this.map(this.columns, (row) => {
      const square = squareOf(row);
      return square > 0 ? row.map((value) => value / Math.sqrt(square)) : row;
    });
  }

  squares(): Rows {
    return this.map(1, (row) => [squareOf(row)]);
  }

  fromNearest(points: Float64Array): Rows {
    return this.map(this.columns, (row) => {
      let nearest = row;
      let least = Infinity;
      for (let at = 0; at < points.length; at += this.columns) {
        const difference = row.map((value, i) => value - points[at + i]!);
        const square = squareOf(difference);
        if (square < least) [nearest, least] = [difference, square];
      }
      return nearest;
    });
  }

  kthProduct(points: Float64Array | Float32Array, k: number): Rows {
    const count = points.length / this.columns;
    return this.map(1, (row) => {
      const products = Float64Array.from({ length: count }, (_, m) => {
        let sum = 0;
        for (let i = 0; i < row.length; i++) sum += row[i]! * points[m * row.length + i]!;
        return sum;
      });
      return [products.sort()[count - k]!];
    });
  }

  exponentials(temperature: number): Rows {
    return this.map(3, (row) => exponentialsOf(row, temperature));
  }

  generalisedEntropy(gamma: number, count: number): Rows {
    return this.map(1, (row) => {
      const largest = row.reduce((a, b) => Math.max(a, b), -Infinity);
      const weights = row
        .map((value) => Math.exp(value - largest))
        .sort()
        .reverse();
      const total = weights.reduce((a, b) => a + b, 0);
      let sum = 0;
      for (const [j, weight] of weights.subarray(0, count).entries()) {
        // Summed from the others: 1 - p loses its digits where p is nearly 1.
        let others = 0;
        if (j === 0) for (let k = 1; k < weights.length; k++) others += weights[k]!;
        else others = total - weight;
        sum += ((weight / total) * (others / total)) ** gamma;
      }
      return [sum];
    });
  }
}

function squareOf(row: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i]! ** 2;
  return sum;
}
