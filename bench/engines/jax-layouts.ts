/** jax-js takes NCHW and OIHW; everybody else here takes NHWC and HWIO. */
export const NHWC_TO_NCHW = [0, 3, 1, 2];
export const NCHW_TO_NHWC = [0, 2, 3, 1];
export const HWIO_TO_OIHW = [3, 2, 0, 1];
export const OIHW_TO_HWIO = [2, 3, 1, 0];

/** Reorder the four axes of a row-major array: axis i of the result is `axes[i]` of `shape`. */
export function permute(
  data: Float32Array,
  shape: readonly number[],
  axes: readonly number[],
): Float32Array<ArrayBuffer> {
  const strides = [shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1];
  const [a, b, c, d] = axes.map((axis) => shape[axis]);
  const [sa, sb, sc, sd] = axes.map((axis) => strides[axis]);
  const result = new Float32Array(data.length);
  let at = 0;
  for (let i = 0; i < a; i++)
    for (let j = 0; j < b; j++)
      for (let k = 0; k < c; k++) for (let l = 0; l < d; l++) result[at++] = data[i * sa + j * sb + k * sc + l * sd];
  return result;
}
