// Y[n] = sum_i X[n, i]^2. One invocation a row. X is [ROWS, SIZE]; Y is [ROWS].
const ROWS = 1;
const SIZE = 64;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ROWS) {
    return;
  }
  var sum = 0.0;
  for (var i = 0u; i < SIZE; i++) {
    let x = X[id.x * SIZE + i];
    sum = fma(x, x, sum);
  }
  Y[id.x] = sum;
}
