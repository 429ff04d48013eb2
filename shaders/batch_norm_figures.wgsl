// What batch norm needs of each channel, with statistics that are given (the running ones, in evaluation):
//
//   FIGURES[0..3, c] = mean, gamma / sqrt(variance + EPSILON), beta, 1 / sqrt(variance + EPSILON)
//
// All inputs are [CHANNELS]. One invocation a channel.
const CHANNELS = 4;
const EPSILON = 1e-5;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> MEAN: array<f32>;
@group(0) @binding(1) var<storage, read> VARIANCE: array<f32>;
@group(0) @binding(2) var<storage, read> GAMMA: array<f32>;
@group(0) @binding(3) var<storage, read> BETA: array<f32>;
@group(0) @binding(4) var<storage, read_write> FIGURES: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= CHANNELS) {
    return;
  }
  let deviation = 1.0 / sqrt(VARIANCE[c] + EPSILON);
  FIGURES[c] = MEAN[c];
  FIGURES[CHANNELS + c] = GAMMA[c] * deviation;
  FIGURES[2 * CHANNELS + c] = BETA[c];
  FIGURES[3 * CHANNELS + c] = deviation;
}
