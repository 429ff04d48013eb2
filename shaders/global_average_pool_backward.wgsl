enable f16; // where HALF
// Y[n, position, c] = D[n, c] / POSITIONS. Y is [BATCH, POSITIONS, CHANNELS].
alias Stored = f32; // unless HALF
alias Stored = f16; // where HALF
const HALF = false; // Y is stored as float16
const BATCH = 1;
const POSITIONS = 4;
const CHANNELS = 4;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> D: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<Stored>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i >= BATCH * POSITIONS * CHANNELS) {
    return;
  }
  Y[i] = Stored(D[i / (POSITIONS * CHANNELS) * CHANNELS + i % CHANNELS] / f32(POSITIONS));
}
