// What batch_norm_backward needs of a channel where the statistics are running ones, and no parameter's gradient is asked
// for: then nothing has to be summed, and the gradient is scale * g.
//
//   C[0..4, c] = mean, scale = gamma / sqrt(variance + EPSILON), beta, 0, 0
//
// C is [5, CHANNELS]. One invocation a channel.
const CHANNELS = 4;
const EPSILON = 1e-5;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> MEAN: array<f32>;
@group(0) @binding(1) var<storage, read> VARIANCE: array<f32>;
@group(0) @binding(2) var<storage, read> GAMMA: array<f32>;
@group(0) @binding(3) var<storage, read> BETA: array<f32>;
@group(0) @binding(4) var<storage, read_write> C: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= CHANNELS) {
    return;
  }
  C[c] = MEAN[c];
  C[CHANNELS + c] = GAMMA[c] / sqrt(VARIANCE[c] + EPSILON);
  C[2 * CHANNELS + c] = BETA[c];
  C[3 * CHANNELS + c] = 0.0;
  C[4 * CHANNELS + c] = 0.0;
}
