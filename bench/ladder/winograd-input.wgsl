// V = transpose(B) d B of every 4 x 4 window d of X at a step of 2 (Lavin and Gray 2016, F(2x2, 3x3)): V is [16, TILES, CHANNELS].
const SIDE = 32; const CHANNELS = 32; const TILES = 256;
@group(0) @binding(0) var<storage, read> X: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> V: array<vec4f>;

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
  let left = (tile % ROW) * 2 - 1;
  let top = ((tile / ROW) % ROW) * 2 - 1;
  let image = tile / (ROW * ROW);
  var d: array<vec4f, 16>;
  for (var y = 0; y < 4; y++) {
    for (var x = 0; x < 4; x++) {
      let at = vec2i(clamp(left + x, 0, SIDE - 1), clamp(top + y, 0, SIDE - 1));
      let inside = all(at == vec2i(left + x, top + y));
      d[y * 4 + x] = select(vec4f(), X[((image * SIDE + at.y) * SIDE + at.x) * VECS + c], inside);
    }
  }
  for (var x = 0; x < 4; x++) {
    let a = d[x]; let b = d[4 + x]; let e = d[8 + x]; let f = d[12 + x];
    d[x] = a - e; d[4 + x] = b + e; d[8 + x] = e - b; d[12 + x] = b - f;
  }
  for (var y = 0; y < 4; y++) {
    let a = d[y * 4]; let b = d[y * 4 + 1]; let e = d[y * 4 + 2]; let f = d[y * 4 + 3];
    let at = (y * 4 * TILES + tile) * VECS + c;
    V[at] = a - e; V[at + TILES * VECS] = b + e; V[at + 2 * TILES * VECS] = e - b; V[at + 3 * TILES * VECS] = b - f;
  }
}
