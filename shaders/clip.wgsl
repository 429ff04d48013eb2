// Y[i] = min(X[i], MOST[0]) over SIZE elements.
// Vec is vec4f where SIZE is a multiple of 4, else f32; an invocation takes TURNS of them, WORKGROUP apart.
alias Vec = vec4f;
const WIDTH = 4;
const SIZE = 4;
const TURNS = 8;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Vec>;
@group(0) @binding(1) var<storage, read> MOST: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<Vec>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = (group.y * groups.x + group.x) * TURNS * WORKGROUP + lane;
  for (var i = first; i < min(first + TURNS * WORKGROUP, SIZE / WIDTH); i += WORKGROUP) {
    Y[i] = min(X[i], Vec(MOST[0]));
  }
}
