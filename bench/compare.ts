/** Results longer than this are compared in part. */
const COMPARED = 2 ** 22;

/** What is compared of a result: all of it, or every n-th element of a large one. */
export function sample(values: Float32Array): Float32Array {
  if (values.length <= COMPARED) return values;
  // Odd, so that it does not fall into step with channels or rows.
  const stride = Math.ceil(values.length / COMPARED) | 1;
  return Float32Array.from({ length: Math.ceil(values.length / stride) }, (_, i) => values[i * stride]);
}

/** Norm of the difference over the norm of what is expected. NaN or another length is infinitely far. */
export function distance(found: Float32Array, expected: Float32Array): number {
  if (found.length !== expected.length) return Infinity;
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (found[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  const result = Math.sqrt(difference / norm);
  return Number.isNaN(result) ? Infinity : result;
}

/** Why results are wrong, or undefined where they are right. All zeros are never right: there is nothing to time. */
export function refusal(
  found: readonly Float32Array[],
  expected: readonly Float32Array[],
  tolerances: (result: number) => number,
): string | undefined {
  if (found.length !== expected.length) return `${found.length} results instead of ${expected.length}`;
  for (const [i, values] of expected.entries()) {
    if (values.every((value) => value === 0)) return `result ${i} of the reference is all zeros`;
    const far = distance(found[i], values);
    const tolerance = tolerances(i);
    if (far > tolerance) return `wrong numbers: result ${i} differs by ${far.toExponential(1)} (allowed ${tolerance})`;
  }
  return undefined;
}
