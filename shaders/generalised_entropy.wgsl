// Generalised entropy (Liu, Lochman and Zach 2023) of the COUNT largest of each row's probabilities p = softmax(L[n]):
//
//   Y[n] = sum_j (p_j (1 - p_j))^GAMMA
//
// By logarithms, since a probability may underflow whose power does not; and 1 - p from the others, since it loses its
// digits where p nears 1. One invocation a row. L is [ROWS, CLASSES], of 2 classes or more; TOP is [ROWS, COUNT], the
// largest of each row, ascending; Y is [ROWS].
const ROWS = 1;
const CLASSES = 10;
const COUNT = 10;
const GAMMA = 0.1;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> L: array<f32>;
@group(0) @binding(1) var<storage, read> TOP: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;

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
  var second = -3.4e38;
  for (var k = 0u; k < CLASSES; k++) {
    if (k != best) {
      second = max(second, L[first + k]);
    }
  }
  // The sum of the others' exponentials, in units of the largest of them.
  var others = 0.0;
  for (var k = 0u; k < CLASSES; k++) {
    if (k != best) {
      others += exp(L[first + k] - second);
    }
  }
  // log p_j = d_j - log(total), log(1 - p_j) = log(total - exp(d_j)) - log(total), with d_j = L_j - largest.
  let total = 1.0 + exp(second - largest) * others;
  var sum = exp(GAMMA * (second - largest + log(others) - 2.0 * log(total)));
  for (var j = 0u; j + 1 < COUNT; j++) {
    let d = TOP[n * COUNT + j] - largest;
    sum += exp(GAMMA * (d + log(total - exp(d)) - 2.0 * log(total)));
  }
  Y[n] = sum;
}
