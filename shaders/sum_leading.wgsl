// Sum over the leading axis: Y[i] = sum_s X[s, i], in order of s. X is [COUNT, SIZE], Y is [SIZE].
// Phase two of every split reduction, and the gradient of a bias.
const COUNT = 1;
const SIZE = 4;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= SIZE) {
    return;
  }
  var sum = 0.0;
  for (var s = 0u; s < COUNT; s++) {
    sum += X[s * SIZE + id.x];
  }
  Y[id.x] = sum;
}
