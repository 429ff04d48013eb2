// Inverted dropout: Y[i] = X[i] * mask[i], four elements to a random word quadruple. Its own backward: the mask comes
// from i and STEP = [number, seed, .., stream] alone. SIZE elements; the last quadruple may be cut short.
// include: pcg
const SIZE = 4;
const DROPOUT = 0.5;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> STEP: array<u32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;

// include: dropout_mask

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i >= SIZE) {
    return;
  }
  Y[i] = X[i] * dropoutMask(i / 4, STEP[0], STEP[1], STEP[3])[i % 4];
}
