// Batch norm backward, phase two of three: the gradients of the parameters, and what phase three needs of a channel.
//
//   BETA_GRADIENT[c] = sum over chunks of P[chunk, 0, c],  GAMMA_GRADIENT[c] = the same of P[chunk, 1, c]
//   C[0..4, c] = mean, scale = gamma / sqrt(variance + EPSILON), beta,
//                BETA_GRADIENT / ROWS, GAMMA_GRADIENT / (ROWS * sqrt(variance + EPSILON))
//
// The last two carry the gradient through the statistics: zero where these are not the batch's (not BATCH_STATISTICS).
// P is [CHUNKS, 2, CHANNELS] from batch_norm_backward_partials, C is [5, CHANNELS]. One invocation a channel, chunks
// in order.
const ROWS = 4;
const CHANNELS = 4;
const EPSILON = 1e-5;
const CHUNKS = 1;
const BATCH_STATISTICS = true;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> P: array<f32>;
@group(0) @binding(1) var<storage, read> MEAN: array<f32>;
@group(0) @binding(2) var<storage, read> VARIANCE: array<f32>;
@group(0) @binding(3) var<storage, read> GAMMA: array<f32>;
@group(0) @binding(4) var<storage, read> BETA: array<f32>;
@group(0) @binding(5) var<storage, read_write> GAMMA_GRADIENT: array<f32>;
@group(0) @binding(6) var<storage, read_write> BETA_GRADIENT: array<f32>;
@group(0) @binding(7) var<storage, read_write> C: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= CHANNELS) {
    return;
  }
  var sum = 0.0;
  var product = 0.0;
  for (var chunk = 0u; chunk < CHUNKS; chunk++) {
    sum += P[chunk * 2 * CHANNELS + c];
    product += P[(chunk * 2 + 1) * CHANNELS + c];
  }
  let deviation = 1.0 / sqrt(VARIANCE[c] + EPSILON);
  BETA_GRADIENT[c] = sum;
  GAMMA_GRADIENT[c] = product;
  C[c] = MEAN[c];
  C[CHANNELS + c] = GAMMA[c] * deviation;
  C[2 * CHANNELS + c] = BETA[c];
  C[3 * CHANNELS + c] = select(0.0, sum / f32(ROWS), BATCH_STATISTICS);
  C[4 * CHANNELS + c] = select(0.0, product / f32(ROWS) * deviation, BATCH_STATISTICS);
}
