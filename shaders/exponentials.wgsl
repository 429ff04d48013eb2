// What scores of logits are made of, without a digit lost: with L[n, b] the largest of a row (the first of equals) and
// d_k = (L[n, k] - L[n, b]) / TEMPERATURE,
//
//   Y[n] = [L[n, b], sum_{k != b} exp(d_k), sum_{k != b} (exp(d_k) - 1)]
//
// The first sum has all its digits where softmax nears 1, the second where it nears 1/K, as at T = 1000; both hold
// logsumexp and softmax. One invocation a row. L is [ROWS, CLASSES]; Y is [ROWS, 3].
const ROWS = 1;
const CLASSES = 10;
const TEMPERATURE = 1.0;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> L: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;

// exp(x) - 1 of x <= 0; its Taylor series to x^8, whose rest is below 2^-26 of it, where the difference would lose digits.
fn expm1(x: f32) -> f32 {
  let series = x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0 *
    (1.0 + x / 6.0 * (1.0 + x / 7.0 * (1.0 + x / 8.0)))))));
  return select(exp(x) - 1.0, series, x > -0.5);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  if (n >= ROWS) {
    return;
  }
  let first = n * CLASSES;
  var best = 0u;
  for (var k = 1u; k < CLASSES; k++) {
    if (L[first + k] > L[first + best]) {
      best = k;
    }
  }
  let largest = L[first + best];
  var others = 0.0;
  var excess = 0.0;
  for (var k = 0u; k < CLASSES; k++) {
    if (k != best) {
      let d = (L[first + k] - largest) / TEMPERATURE;
      others += exp(d);
      excess += expm1(d);
    }
  }
  Y[n * 3] = largest;
  Y[n * 3 + 1] = others;
  Y[n * 3 + 2] = excess;
}
