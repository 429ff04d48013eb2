/** df/dx at `indices` of x by central differences: (f(x + ε) - f(x - ε)) / 2ε, one element of x at a time. */
export function centralDifference(
  f: (x: Float64Array) => number,
  x: Float64Array,
  indices: readonly number[],
  eps = 1e-5,
): Float64Array {
  return Float64Array.from(indices, (index) => {
    const at = (step: number) => f(x.map((value, i) => (i === index ? value + step : value)));
    return (at(eps) - at(-eps)) / (2 * eps);
  });
}
