import { FLOAT32_EPSILON, symmetricEigen, timesTransposed } from './linear-algebra.js';
import type { Computer, ImageRows, Rows } from './rows.js';

/**
 * Σ xᵀx / n [size, size] over the rows x of n images.
 *
 * It is summed twice, since float32 loses directions in which rows vary little beside those in which they vary much: rows
 * turned by the first sum's eigenvectors V and scaled to a variance of 1, z = x V / s, lose nothing. So Σ xᵀx = (V s) Σ zᵀz (V s)ᵀ,
 * as exact as rows of float32 are themselves.
 */
export async function scatter(on: Computer, rowsOf: (images: ImageRows) => Rows, n: number): Promise<Float64Array> {
  const sum = async (of: (x: Rows) => Rows) => {
    const [product] = await on.sum((images) => {
      const x = of(rowsOf(images));
      return [x.cross(x)];
    });
    return product!.map((value) => value / n);
  };
  const first = await sum((x) => x);
  const size = Math.sqrt(first.length);
  const { values, vectors } = symmetricEigen(first, size);
  const least = size * FLOAT32_EPSILON * values[size - 1]!;
  const scale = values.map((value) => Math.sqrt(Math.max(value, least)) || 1);
  const second = await sum((x) => x.times(vectors.map((value, at) => value / scale[at % size]!)));
  const back = vectors.map((value, at) => value * scale[at % size]!);
  return timesTransposed(timesTransposed(back, second, size), back, size);
}
