// Running statistics of every batch norm of a network at once: R[i] += MOMENTUM * (B[i] - R[i]), SIZE elements.
// B holds the batch's means and unbiased variances where R holds the running ones. Nothing changes once HALTED.
const SIZE = 4;
const MOMENTUM = 0.1;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> B: array<f32>;
@group(0) @binding(1) var<uniform> STEP: vec4u;
@group(0) @binding(2) var<storage, read> HALTED: array<u32>;
@group(0) @binding(3) var<storage, read_write> R: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i >= SIZE) {
    return;
  }
  if (HALTED[0] <= STEP[0]) {
    return;
  }
  R[i] = fma(1.0 - MOMENTUM, R[i], MOMENTUM * B[i]);
}
