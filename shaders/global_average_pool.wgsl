enable f16; // where HALF
// Y[n, c] = mean over positions of X[n, position, c]. X is [BATCH, POSITIONS, CHANNELS] (NHWC with H, W joined).
alias Stored = f32; // unless HALF
alias Stored = f16; // where HALF
const HALF = false; // X is stored as float16
const BATCH = 1;
const POSITIONS = 4;
const CHANNELS = 4;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Stored>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= BATCH * CHANNELS) {
    return;
  }
  let first = (id.x / CHANNELS) * POSITIONS * CHANNELS + id.x % CHANNELS;
  var sum = 0.0;
  for (var p = 0u; p < POSITIONS; p++) {
    sum += f32(X[first + p * CHANNELS]);
  }
  Y[id.x] = sum / f32(POSITIONS);
}
