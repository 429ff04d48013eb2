/**
 * The distribution function of Beta(a, b) at x: the regularised incomplete beta function I_x(a, b), by its continued
 * fraction (Abramowitz & Stegun 26.5.8, evaluated by Lentz's method). a, b > 0, 0 <= x <= 1.
 */
export function betaDistribution(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast below the mean; above it the other tail is summed.
  if (x > (a + 1) / (a + b + 2)) return 1 - betaDistribution(1 - x, b, a);
  const front = Math.exp(
    a * Math.log(x) + b * Math.log1p(-x) + logGamma(a + b) - logGamma(a) - logGamma(b) - Math.log(a),
  );
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m <= 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return front * fraction;
}

/** The value that Beta(a, b) stays below with probability p, by bisection. */
export function betaQuantile(p: number, a: number, b: number): number {
  let low = 0;
  let high = 1;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (betaDistribution(middle, a, b) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/**
 * The fractions that Beta-binomial(m, a, b) / m lies between with probability 1 - 2 tail or more: of m trials whose
 * probability of success is itself distributed as Beta(a, b).
 */
export function betaBinomialInterval(m: number, a: number, b: number, tail: number): { lower: number; upper: number } {
  const log = (x: number) => logGamma(x + a) + logGamma(m - x + b) - logGamma(x + 1) - logGamma(m - x + 1);
  const constant = logGamma(m + 1) + logGamma(a + b) - logGamma(a) - logGamma(b) - logGamma(m + a + b);
  let lower = 0;
  for (let sum = 0; lower < m; lower++) {
    sum += Math.exp(log(lower) + constant);
    if (sum > tail) break;
  }
  let upper = m;
  for (let sum = 0; upper > 0; upper--) {
    sum += Math.exp(log(upper) + constant);
    if (sum > tail) break;
  }
  return { lower: lower / m, upper: upper / m };
}

const away = (value: number): number => (Math.abs(value) < 1e-300 ? 1e-300 : value);

/** log Γ(x), x > 0: Stirling's series (Abramowitz & Stegun 6.1.41) past 10, to which the recurrence leads. */
function logGamma(x: number): number {
  let shift = 0;
  for (; x < 10; x++) shift -= Math.log(x);
  const y = 1 / (x * x);
  const series = (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y / 1188)))) / x;
  return shift + (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series;
}
