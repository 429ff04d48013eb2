// Rows scaled to length 1, Y[n] = X[n] / |X[n]|; rows of zeros stay. One invocation a row. X, Y are [ROWS, SIZE].
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
  var square = 0.0;
  for (var i = 0u; i < SIZE; i++) {
    let x = X[id.x * SIZE + i];
    square = fma(x, x, square);
  }
  var scale = 0.0;
  if (square > 0.0) {
    scale = 1.0 / sqrt(square);
  }
  for (var i = 0u; i < SIZE; i++) {
    Y[id.x * SIZE + i] = X[id.x * SIZE + i] * scale;
  }
}
