/**
 * Rows of numbers, one an image, and all that scores and their fits compute of them. A score is written once, in these; they
 * are computed in float64 on the CPU (`ArrayRows`) or in float32 on the GPU (`GraphRows` of nn/).
 */
export interface Rows {
  /** How many numbers a row has. */
  readonly columns: number;
  /** Plus a vector, or plus the same row of others. */
  plus(other: Float64Array | Rows): Rows;
  /** Times a matrix [columns, n], row-major; plus `bias` [n]. */
  times(matrix: Float64Array, bias?: Float64Array): Rows;
  /** The sum over rows of the outer product with the same row of others, thisᵀ other: [columns, other.columns]. */
  cross(other: Rows): Rows;
  /** Each number, or `most` where it is more. */
  clip(most: number): Rows;
  /** The `kept` largest of a row, of equals the first, scaled by exp(sum of all / sum of these); the others 0. */
  prune(kept: number): Rows;
  /** Over its length; a row of zeros stays. */
  unit(): Rows;
  /** The sum of squares: one number. */
  squares(): Rows;
  /** Less the nearest of these points [n, columns]. */
  fromNearest(points: Float64Array): Rows;
  /** The k-th largest product with one of these points [n, columns], n >= k: one number. */
  kthProduct(points: Float64Array | Float32Array, k: number): Rows;
  /**
   * Of a row of logits f with f_b the largest: f_b, Σ exp((f_k - f_b)/T) over the others, and Σ (exp((f_k - f_b)/T) - 1). Where
   * softmax nears 1 the first sum keeps all digits, where it nears 1/K the second: three numbers.
   */
  exponentials(temperature: number): Rows;
  /** Σ (p (1 - p))^gamma over the `count` largest probabilities p of a row of logits, two or more: one number. */
  generalisedEntropy(gamma: number, count: number): Rows;
}

/** What is known of N images, as rows. */
export interface ImageRows {
  /** [N, K] */
  readonly logits: Rows;
  /** [N, D] */
  readonly features: Rows;
  /** [N, K]: 1 at the class of the image, else 0. */
  readonly labels: Rows;
}

/** Rows made of those of images. */
export type Reduction = (images: ImageRows) => readonly Rows[];

/** Images that reductions are computed of. */
export interface Computer {
  /** Each of the reduction's rows, for all images: row-major. */
  each(reduction: Reduction): Promise<Float64Array[]>;
  /** Each of the reduction's {@link Rows.cross} products, over all images. */
  sum(reduction: Reduction): Promise<Float64Array[]>;
}
