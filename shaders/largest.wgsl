// The COUNT largest of each row, ascending, and of as many that were found before, where CONTINUED: so a row may come in
// parts. The STORED least of them are written: 1 for the COUNT-th largest alone. By insertion, which is rare once the first
// few are found. Where there are fewer than COUNT, -3.4e38 stands for the rest.
//
// One invocation a row. X is [ROWS, STRIDE], of which the first COLUMNS are looked at; PREVIOUS is [ROWS, COUNT], Y is
// [ROWS, STORED].
const ROWS = 1;
const COLUMNS = 4;
const STRIDE = 4;
const COUNT = 2;
const STORED = 2;
const CONTINUED = true;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
@group(0) @binding(2) var<storage, read> PREVIOUS: array<f32>; // where CONTINUED

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  if (n >= ROWS) {
    return;
  }
  var found: array<f32, COUNT>;
  for (var i = 0u; i < COUNT; i++) {
    found[i] = -3.4e38;
    found[i] = PREVIOUS[n * COUNT + i]; // where CONTINUED
  }
  for (var column = 0u; column < COLUMNS; column++) {
    let x = X[n * STRIDE + column];
    if (x > found[0]) {
      var place = 0u;
      while (place + 1 < COUNT && found[place + 1] < x) {
        found[place] = found[place + 1];
        place++;
      }
      found[place] = x;
    }
  }
  for (var i = 0u; i < STORED; i++) {
    Y[n * STORED + i] = found[i];
  }
}
