// One invocation four output channels of a pixel; four input channels are read at once.
const N = 3; const SIDE = 32; const C = 32; const VECS = 8;
@group(0) @binding(0) var<storage, read> X: array<vec4f>;
@group(0) @binding(1) var<storage, read> W: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> Y: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = i32(id.x);
  if (i >= N * SIDE * SIDE * VECS) {
    return;
  }
  let co = i % VECS;
  let x = (i / VECS) % SIDE;
  let y = (i / (VECS * SIDE)) % SIDE;
  let n = i / (VECS * SIDE * SIDE);
  var sum = vec4f();
  for (var ky = 0; ky < 3; ky++) {
    for (var kx = 0; kx < 3; kx++) {
      let iy = y + ky - 1;
      let ix = x + kx - 1;
      if (iy < 0 || iy >= SIDE || ix < 0 || ix >= SIDE) {
        continue;
      }
      for (var c = 0; c < VECS; c++) {
        let v = X[((n * SIDE + iy) * SIDE + ix) * VECS + c];
        let w = ((ky * 3 + kx) * C + c * 4) * VECS + co;
        sum = fma(vec4f(v.x), W[w], sum);
        sum = fma(vec4f(v.y), W[w + VECS], sum);
        sum = fma(vec4f(v.z), W[w + 2 * VECS], sum);
        sum = fma(vec4f(v.w), W[w + 3 * VECS], sum);
      }
    }
  }
  Y[i] = sum;
}
