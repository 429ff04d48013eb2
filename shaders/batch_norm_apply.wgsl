// Batch norm, normalise, with what follows it in a WideResNet block folded in:
//
//   Y[r, c] = dropout(relu((X[r, c] - MEAN[c]) / sqrt(VARIANCE[c] + EPSILON) * GAMMA[c] + BETA[c]))
//
// ReLU where RELU; inverted dropout where DROPOUT > 0: an element is kept where its random word is at least
// DROPOUT * 2^32, and scaled by 1 / (1 - DROPOUT). STEP is [number, seed] (u32): with STREAM and the element's index
// it fixes the mask, so backward makes it again and nothing is saved. The statistics are the batch's in training,
// the running ones in evaluation. X, Y are [ROWS, CHANNELS]. Vec is vec4f where CHANNELS is a multiple of 4, else f32.
// include: pcg
alias Vec = vec4f;
const WIDTH = 4;
const ROWS = 4;
const CHANNELS = 4;
const EPSILON = 1e-5;
const RELU = true;
const DROPOUT = 0.0;
const STREAM = 0;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Vec>;
@group(0) @binding(1) var<storage, read> MEAN: array<Vec>;
@group(0) @binding(2) var<storage, read> VARIANCE: array<Vec>;
@group(0) @binding(3) var<storage, read> GAMMA: array<Vec>;
@group(0) @binding(4) var<storage, read> BETA: array<Vec>;
@group(0) @binding(5) var<storage, read> STEP: array<u32>;
@group(0) @binding(6) var<storage, read_write> Y: array<Vec>;

// include: dropout_mask

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  const VECS = CHANNELS / WIDTH;
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i >= ROWS * VECS) {
    return;
  }
  let c = i % VECS;
  let scale = GAMMA[c] / sqrt(VARIANCE[c] + EPSILON);
  var y = fma(X[i] - MEAN[c], scale, BETA[c]);
  if (RELU) {
    y = max(y, Vec());
  }
  if (DROPOUT > 0.0) {
    y *= dropoutMask(i, STEP[0], STEP[1]).xyzw;
  }
  Y[i] = y;
}
