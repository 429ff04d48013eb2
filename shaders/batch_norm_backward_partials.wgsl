// Batch norm backward, phase one of three: sums over every chunk of rows.
//
//   P[chunk, 0, c] = sum g,  P[chunk, 1, c] = sum g * xhat,  g = D through dropout and ReLU, xhat the normalised input
//
// X (input), D (gradient of the output) are [ROWS, CHANNELS], P is [CHUNKS, 2, CHANNELS]. Folding, STEP, STREAM and Vec
// as in batch_norm_apply. The host guarantees that no chunk is empty.
// include: pcg
alias Vec = vec4f;
const WIDTH = 4;
const ROWS = 4;
const CHANNELS = 4;
const EPSILON = 1e-5;
const RELU = true;
const DROPOUT = 0.0;
const STREAM = 0;
const CHUNKS = 1;
const ROWS_PER_CHUNK = 4;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Vec>;
@group(0) @binding(1) var<storage, read> D: array<Vec>;
@group(0) @binding(2) var<storage, read> MEAN: array<Vec>;
@group(0) @binding(3) var<storage, read> VARIANCE: array<Vec>;
@group(0) @binding(4) var<storage, read> GAMMA: array<Vec>;
@group(0) @binding(5) var<storage, read> BETA: array<Vec>;
@group(0) @binding(6) var<storage, read> STEP: array<u32>;
@group(0) @binding(7) var<storage, read_write> P: array<Vec>;

// include: dropout_mask
// include: folded_gradient

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  const VECS = CHANNELS / WIDTH;
  let c = id.x % VECS;
  let chunk = id.x / VECS;
  if (chunk >= CHUNKS) {
    return;
  }
  let first = chunk * ROWS_PER_CHUNK;
  let mean = MEAN[c];
  let deviation = 1.0 / sqrt(VARIANCE[c] + EPSILON);
  let scale = GAMMA[c] * deviation;
  let beta = BETA[c];
  var sum = Vec();
  var product = Vec();
  for (var r = first; r < min(first + ROWS_PER_CHUNK, ROWS); r++) {
    let i = r * VECS + c;
    let centred = X[i] - mean;
    let g = foldedGradient(i, fma(centred, scale, beta));
    sum += g;
    product = fma(g, centred, product);
  }
  P[chunk * 2 * VECS + c] = sum;
  P[(chunk * 2 + 1) * VECS + c] = product * deviation;
}
