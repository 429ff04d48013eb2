// Y = transpose(A) m A, 2 x 2 pixels of each tile, of M [16, TILES, CHANNELS].
const SIDE = 32; const CHANNELS = 32; const TILES = 256;
@group(0) @binding(0) var<storage, read> M: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> Y: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  const VECS = CHANNELS / 4;
  const ROW = SIDE / 2;
  let i = i32(id.x);
  if (i >= TILES * VECS) {
    return;
  }
  let c = i % VECS;
  let tile = i / VECS;
  var m: array<vec4f, 8>;
  for (var x = 0; x < 4; x++) {
    let at = (x * TILES + tile) * VECS + c;
    const ROWS = 4 * TILES * VECS;
    m[x] = M[at] + M[at + ROWS] + M[at + 2 * ROWS];
    m[4 + x] = M[at + ROWS] - M[at + 2 * ROWS] - M[at + 3 * ROWS];
  }
  let image = tile / (ROW * ROW);
  for (var y = 0; y < 2; y++) {
    let at = ((image * SIDE + ((tile / ROW) % ROW) * 2 + y) * SIDE + (tile % ROW) * 2) * VECS + c;
    Y[at] = m[y * 4] + m[y * 4 + 1] + m[y * 4 + 2];
    Y[at + VECS] = m[y * 4 + 1] - m[y * 4 + 2] - m[y * 4 + 3];
  }
}
