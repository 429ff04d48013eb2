/** A symmetric matrix's eigenvalues, ascending, and its eigenvectors as the columns of `vectors` [n, n]. */
export interface Eigen {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

/**
 * Eigenvalues and -vectors of a symmetric matrix, by cyclic Jacobi rotations (Golub & Van Loan, 8.5): slower than other
 * ways, and as accurate as any.
 * @param matrix [n, n], row-major
 */
export function symmetricEigen(matrix: Float64Array, n: number): Eigen {
  const a = matrix.slice();
  // Rows of `v` are the eigenvectors while rotating: rows are faster to go through.
  const v = new Float64Array(n * n);
  for (let i = 0; i < n; i++) v[i * n + i] = 1;
  const norm = Math.hypot(...diagonalAndOff(a, n));
  for (let sweep = 0; sweep < 60; sweep++) {
    const [, off] = diagonalAndOff(a, n);
    if (off <= 1e-15 * norm) break;
    for (let p = 0; p < n - 1; p++) {
      for (let q = p + 1; q < n; q++) rotate(a, v, n, p, q);
    }
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => a[i * n + i]! - a[j * n + j]!);
  const vectors = new Float64Array(n * n);
  order.forEach((from, to) => {
    for (let i = 0; i < n; i++) vectors[i * n + to] = v[from * n + i]!;
  });
  return { values: Float64Array.from(order, (i) => a[i * n + i]!), vectors };
}

/** Norms of a matrix's diagonal and of the rest. */
function diagonalAndOff(a: Float64Array, n: number): [number, number] {
  let diagonal = 0;
  let off = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const square = a[i * n + j]! ** 2;
      if (i === j) diagonal += square;
      else off += square;
    }
  }
  return [Math.sqrt(diagonal), Math.sqrt(off)];
}

/** One Jacobi rotation, which makes a[p, q] zero. */
function rotate(a: Float64Array, v: Float64Array, n: number, p: number, q: number): void {
  const apq = a[p * n + q]!;
  if (apq === 0) return;
  const theta = (a[q * n + q]! - a[p * n + p]!) / (2 * apq);
  const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.hypot(1, theta));
  const c = 1 / Math.hypot(1, t);
  const s = t * c;
  for (let k = 0; k < n; k++) {
    const kp = a[k * n + p]!;
    const kq = a[k * n + q]!;
    a[k * n + p] = c * kp - s * kq;
    a[k * n + q] = s * kp + c * kq;
  }
  for (const matrix of [a, v]) {
    for (let k = 0; k < n; k++) {
      const pk = matrix[p * n + k]!;
      const qk = matrix[q * n + k]!;
      matrix[p * n + k] = c * pk - s * qk;
      matrix[q * n + k] = s * pk + c * qk;
    }
  }
}

/** Eigenvalues up to this are zero: what rounding leaves of them. */
export function cutoff({ values }: Eigen): number {
  return values.length * Number.EPSILON * Math.max(...values.map(Math.abs));
}

/** `y` += xᵀ m of a vector [rows] and a matrix [rows, columns]; y is zeros unless it is given. */
export function vectorTimes(
  x: ArrayLike<number>,
  m: Float64Array,
  columns: number,
  y: Float64Array = new Float64Array(columns),
): Float64Array {
  for (let i = 0; i < x.length; i++) {
    const factor = x[i]!;
    if (factor === 0) continue;
    for (let j = 0; j < columns; j++) y[j] += factor * m[i * columns + j]!;
  }
  return y;
}

/** a bᵀ of matrices [n, n]. */
export function timesTransposed(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const y = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += a[i * n + k]! * b[j * n + k]!;
      y[i * n + j] = sum;
    }
  }
  return y;
}

/** Variances up to this are zero: what rounding leaves of them in features of float32. */
export function unresolved({ values }: Eigen): number {
  return (values.length * FLOAT32_EPSILON) ** 2 * Math.max(...values.map(Math.abs));
}

export const FLOAT32_EPSILON = 2 ** -23;
