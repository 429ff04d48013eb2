// HALTED = min(HALTED, step number) where any of the SIZE elements of X, or where PAIR of the SECOND of Y, is NaN or
// infinite (found in the bits, since implementations may assume there are none). X is the gradients of all parameters, Y the
// batch's statistics; STEP is [number, seed] (u32).
const SIZE = 4;
const SECOND = 0;
const PAIR = false;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<u32>;
@group(0) @binding(1) var<storage, read> Y: array<u32>; // where PAIR
@group(0) @binding(2) var<storage, read> STEP: array<u32>;
@group(0) @binding(3) var<storage, read_write> HALTED: array<atomic<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  var bits = 0u;
  if (i < SIZE) {
    bits = X[i];
  }
  if (i >= SIZE && i < SIZE + SECOND) { bits = Y[i - SIZE]; } // where PAIR
  if ((bits & 0x7f800000u) == 0x7f800000u) {
    atomicMin(&HALTED[0], STEP[0]);
  }
}
