// One invocation an output element, every operand a scalar from a storage buffer.
const N = 3; const SIDE = 32; const C = 32;
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> W: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = i32(id.x);
  if (i >= N * SIDE * SIDE * C) {
    return;
  }
  let co = i % C;
  let x = (i / C) % SIDE;
  let y = (i / (C * SIDE)) % SIDE;
  let n = i / (C * SIDE * SIDE);
  var sum = 0.0;
  for (var ky = 0; ky < 3; ky++) {
    for (var kx = 0; kx < 3; kx++) {
      let iy = y + ky - 1;
      let ix = x + kx - 1;
      if (iy < 0 || iy >= SIDE || ix < 0 || ix >= SIDE) {
        continue;
      }
      for (var ci = 0; ci < C; ci++) {
        sum = fma(X[((n * SIDE + iy) * SIDE + ix) * C + ci], W[((ky * 3 + kx) * C + ci) * C + co], sum);
      }
    }
  }
  Y[i] = sum;
}
