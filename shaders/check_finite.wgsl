// HALTED = min(HALTED, step number) where any of the elements of X from FIRST up to SIZE, or where PAIR of the SECOND of Y, is
// NaN or infinite (found in the bits, since implementations may assume there are none). X is the gradients of all parameters,
// Y the batch's statistics; STEP is [number, seed] (u32). Vec is vec4u where FIRST, SIZE and SECOND are multiples of 4, else
// u32; an invocation takes TURNS of them, WORKGROUP apart.
alias Vec = vec4u;
const WIDTH = 4;
const FIRST = 0;
const SIZE = 4;
const SECOND = 0;
const PAIR = false;
const TURNS = 8;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Vec>;
@group(0) @binding(1) var<storage, read> Y: array<Vec>; // where PAIR
@group(0) @binding(2) var<storage, read> STEP: array<u32>;
@group(0) @binding(3) var<storage, read_write> HALTED: array<atomic<u32>>;

const EXPONENT = 0x7f800000u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  const X_VECS = SIZE / WIDTH;
  let first = FIRST / WIDTH + (group.y * groups.x + group.x) * TURNS * WORKGROUP + lane;
  var found = false;
  for (var i = first; i < min(first + TURNS * WORKGROUP, (SIZE + SECOND) / WIDTH); i += WORKGROUP) {
    var bits = Vec();
    if (i < X_VECS) {
      bits = X[i];
    }
    if (i >= X_VECS) { bits = Y[i - X_VECS]; } // where PAIR
    found |= any((bits & Vec(EXPONENT)) == Vec(EXPONENT));
  }
  if (found) {
    atomicMin(&HALTED[0], STEP[0]);
  }
}
