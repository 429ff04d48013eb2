// E[n] = -logsumexp_k(L[n, k]) of each row (Liu et al. 2020, eq. 4, T = 1), for the loss that compares rows. One invocation
// a row. L is [ROWS, CLASSES]; E is [ROWS]. The running maximum starts at the lowest finite number.
const ROWS = 1;
const CLASSES = 10;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> L: array<f32>;
@group(0) @binding(1) var<storage, read_write> E: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  if (n >= ROWS) {
    return;
  }
  let first = n * CLASSES;
  var largest = -3.4e38;
  for (var k = 0u; k < CLASSES; k++) {
    largest = max(largest, L[first + k]);
  }
  var sum = 0.0;
  for (var k = 0u; k < CLASSES; k++) {
    sum += exp(L[first + k] - largest);
  }
  E[n] = -(largest + log(sum));
}
