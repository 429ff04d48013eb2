// Activation shaping, ASH-S (Djurisic et al. 2023): of each row the KEPT largest stay, of equals the first, and are scaled by
// exp(sum of the row / sum of those that stay), where the latter is above 0; the others become 0.
//
// One invocation a row. X, Y are [ROWS, SIZE]; TOP is [ROWS, KEPT], the largest of each row, ascending.
const ROWS = 1;
const SIZE = 64;
const KEPT = 6;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> TOP: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  if (n >= ROWS) {
    return;
  }
  let least = TOP[n * KEPT];
  var after = 0.0;
  // How many that equal the least stay.
  var equals = 0u;
  for (var i = 0u; i < KEPT; i++) {
    after += TOP[n * KEPT + i];
    equals += select(0u, 1u, TOP[n * KEPT + i] == least);
  }
  var before = 0.0;
  for (var i = 0u; i < SIZE; i++) {
    before += X[n * SIZE + i];
  }
  var scale = 1.0;
  if (after > 0.0) {
    scale = exp(before / after);
  }
  for (var i = 0u; i < SIZE; i++) {
    let x = X[n * SIZE + i];
    let stays = x > least || (x == least && equals > 0);
    if (x == least && equals > 0) {
      equals--;
    }
    Y[n * SIZE + i] = select(0.0, x * scale, stays);
  }
}
