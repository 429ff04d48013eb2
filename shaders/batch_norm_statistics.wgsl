// Batch-norm statistics, phase two of two: chunks are merged in order (Chan, Golub & LeVeque, 1979).
//
//   MEAN[c], VARIANCE[c] (biased, divided by ROWS), UNBIASED[c] (divided by ROWS - 1, for the running variance)
//
// P is [CHUNKS, 2, CHANNELS] from batch_norm_partials. One invocation a channel.
const ROWS = 4;
const CHANNELS = 4;
const CHUNKS = 1;
const ROWS_PER_CHUNK = 4;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> P: array<f32>;
@group(0) @binding(1) var<storage, read_write> MEAN: array<f32>;
@group(0) @binding(2) var<storage, read_write> VARIANCE: array<f32>;
@group(0) @binding(3) var<storage, read_write> UNBIASED: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= CHANNELS) {
    return;
  }
  var count = 0.0;
  var mean = 0.0;
  var squares = 0.0;
  for (var chunk = 0u; chunk < CHUNKS; chunk++) {
    let n = f32(min(ROWS_PER_CHUNK, ROWS - chunk * ROWS_PER_CHUNK));
    let delta = P[chunk * 2 * CHANNELS + c] - mean;
    let total = count + n;
    mean += delta * (n / total);
    squares += P[(chunk * 2 + 1) * CHANNELS + c] + delta * delta * (count * n / total);
    count = total;
  }
  MEAN[c] = mean;
  VARIANCE[c] = squares / f32(ROWS);
  UNBIASED[c] = squares / f32(max(ROWS - 1, 1));
}
