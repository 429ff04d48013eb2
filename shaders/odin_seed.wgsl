// The gradient of CE(L[n] / T, argmax L[n]) with respect to the logits: (softmax(L[n] / T) - onehot(argmax)) / T, where
// ODIN's differentiation starts (Liang et al. 2018, eq. 2). Where softmax nears 1, 1 - softmax would lose its digits: it
// is summed from the others. One invocation a row; L, G are [ROWS, CLASSES].
const ROWS = 1;
const CLASSES = 10;
const TEMPERATURE = 1.0;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> L: array<f32>;
@group(0) @binding(1) var<storage, read_write> G: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ROWS) {
    return;
  }
  let first = id.x * CLASSES;
  var best = 0u;
  for (var k = 1u; k < CLASSES; k++) {
    if (L[first + k] > L[first + best]) {
      best = k;
    }
  }
  let largest = L[first + best];
  var others = 0.0;
  for (var k = 0u; k < CLASSES; k++) {
    if (k != best) {
      others += exp((L[first + k] - largest) / TEMPERATURE);
    }
  }
  let scale = 1.0 / ((1.0 + others) * TEMPERATURE);
  for (var k = 0u; k < CLASSES; k++) {
    G[first + k] = select(exp((L[first + k] - largest) / TEMPERATURE) * scale, -others * scale, k == best);
  }
}
