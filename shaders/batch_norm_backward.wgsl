// Batch norm backward, phase three of three: the gradient of the input (Ioffe & Szegedy, 2015).
//
//   Y[r, c] = gamma / sqrt(variance + EPSILON) * (g - mean(g) - xhat * mean(g * xhat)) [+ R[r, c] where RESIDUAL]
//
// with g and xhat as in batch_norm_backward_partials, and the channel's figures C [5, CHANNELS] from
// batch_norm_backward_sums. X (input), D (gradient of the output), R, Y are [ROWS, CHANNELS]. Folding, STEP, STREAM
// and Vec as in batch_norm_apply. The host binds D as R where not RESIDUAL.
// include: pcg
alias Vec = vec4f;
const WIDTH = 4;
const ROWS = 4;
const CHANNELS = 4;
const RELU = true;
const DROPOUT = 0.0;
const STREAM = 0;
const RESIDUAL = false;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Vec>;
@group(0) @binding(1) var<storage, read> D: array<Vec>;
@group(0) @binding(2) var<storage, read> C: array<Vec>;
@group(0) @binding(3) var<storage, read> STEP: array<u32>;
@group(0) @binding(4) var<storage, read> R: array<Vec>;
@group(0) @binding(5) var<storage, read_write> Y: array<Vec>;

// include: dropout_mask
// include: folded_gradient

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  const VECS = CHANNELS / WIDTH;
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i >= ROWS * VECS) {
    return;
  }
  let c = i % VECS;
  let centred = X[i] - C[c];
  let scale = C[VECS + c];
  let g = foldedGradient(i, fma(centred, scale, C[2 * VECS + c]));
  var y = scale * (g - C[3 * VECS + c] - centred * C[4 * VECS + c]);
  if (RESIDUAL) {
    y += R[i];
  }
  Y[i] = y;
}
