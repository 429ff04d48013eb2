// Swap a filter's channels: Y[tap, co, ci] = X[tap, ci, co]. TAPS = ky * kx. Backward-data reads its result where TRANSPOSED.
const TAPS = 9;
const IN_C = 4;
const OUT_C = 4;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= TAPS * IN_C * OUT_C) {
    return;
  }
  let ci = i % IN_C;
  let co = (i / IN_C) % OUT_C;
  let tap = i / (IN_C * OUT_C);
  Y[i] = X[(tap * IN_C + ci) * OUT_C + co];
}
