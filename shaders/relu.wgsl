// Y[i] = max(X[i], 0) over SIZE elements.
// Vec is vec4f where SIZE is a multiple of 4, else f32.
alias Vec = vec4f;
const WIDTH = 4;
const SIZE = 4;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Vec>;
@group(0) @binding(1) var<storage, read_write> Y: array<Vec>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i >= SIZE / WIDTH) {
    return;
  }
  Y[i] = max(X[i], Vec());
}
