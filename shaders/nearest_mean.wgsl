// R[n] = Z[n] - M[c], with M[c] the mean nearest to Z[n] (the first of equals). One invocation a row.
// Z, R are [ROWS, SIZE]; M is [MEANS, SIZE].
const ROWS = 1;
const MEANS = 10;
const SIZE = 64;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> Z: array<f32>;
@group(0) @binding(1) var<storage, read> M: array<f32>;
@group(0) @binding(2) var<storage, read_write> R: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ROWS) {
    return;
  }
  let first = id.x * SIZE;
  var nearest = 0u;
  var least = 3.4e38;
  for (var c = 0u; c < MEANS; c++) {
    var square = 0.0;
    for (var i = 0u; i < SIZE; i++) {
      let difference = Z[first + i] - M[c * SIZE + i];
      square = fma(difference, difference, square);
    }
    if (square < least) {
      least = square;
      nearest = c;
    }
  }
  for (var i = 0u; i < SIZE; i++) {
    R[first + i] = Z[first + i] - M[nearest * SIZE + i];
  }
}
