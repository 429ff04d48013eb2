enable f16; // where HALF
// Batch norm backward, phase two of two: the gradients of the parameters and of the input (Ioffe & Szegedy, 2015).
//
//   BETA_GRADIENT[c] = sum over chunks of P[chunk, 0, c],  GAMMA_GRADIENT[c] = the same of P[chunk, 1, c]
//   Y[r, c] = gamma / sqrt(variance + EPSILON) * (g - BETA_GRADIENT / ROWS - xhat * GAMMA_GRADIENT / ROWS)
//             [+ R[r, c] where RESIDUAL]
//
// with g, xhat and P [CHUNKS, 2, CHANNELS] as in batch_norm_backward_partials. The two means carry the gradient through the
// statistics: they are left out where these are not the batch's (not BATCH). Every workgroup adds the chunks up, lanes in a
// fixed order; the first one keeps the gradients of the parameters. X (input), D (gradient of the output), R, Y are [ROWS,
// CHANNELS]. Folding, FIGURES, STEP, Vec and the lanes as in batch_norm_apply. Where
// not SUMS, nothing is summed: batch_norm_merge has done so (GIVEN; its sums are MERGED), or only the gradient of the input is wanted and the statistics
// are given.
// include: pcg
alias Vec = vec4f;
alias Stored = Vec; // unless HALF
alias Stored = vec4h; // where HALF
const HALF = false;   // X, D, R, Y are stored as float16
const WIDTH = 4;
const ROWS = 4;
const CHANNELS = 4;
const RELU = true;
const DROPS = false;  // DROPOUT > 0
const DROPOUT = 0.0;
const RESIDUAL = false;
const BATCH = true;
const SUMS = true;
const GIVEN = false;  // BATCH and not SUMS
const CHUNKS = 1;
const LANES_C = 1;
const LANES_R = 64;
const ROWS_PER_GROUP = 64;
const TOGETHER = 4;   // rows that a lane reads at once
const ADDED = 128;    // WORKGROUP * 2
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Stored>;
@group(0) @binding(1) var<storage, read> D: array<Stored>;
@group(0) @binding(2) var<storage, read> FIGURES: array<Vec>;
@group(0) @binding(3) var<storage, read> P: array<Vec>; // where SUMS
@group(0) @binding(4) var<storage, read> R: array<Stored>; // where RESIDUAL
@group(0) @binding(5) var<storage, read_write> Y: array<Stored>;
@group(0) @binding(6) var<storage, read_write> GAMMA_GRADIENT: array<Vec>; // where SUMS
@group(0) @binding(7) var<storage, read_write> BETA_GRADIENT: array<Vec>; // where SUMS
@group(0) @binding(6) var<storage, read> MERGED: array<Vec>; // where GIVEN
@group(0) @binding(8) var<uniform> STEP: vec4u; // where DROPS

var<workgroup> added: array<vec4f, ADDED>; // where SUMS
// include: dropout_mask

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  const VECS = CHANNELS / WIDTH;
  let slot = lane % LANES_C;
  let member = lane / LANES_C;
  let c = min(group.y * LANES_C + slot, VECS - 1);
  let mine = member < LANES_R && group.y * LANES_C + slot < VECS;
  var meanGradient = Vec();
  var slope = Vec();
  // where SUMS:
  // As in batch_norm_apply: bounds that the compiler cannot know.
  let lanesDown = select(LANES_R + 0u, 0u, group.x == 0xffffffffu);
  let chunks = select(CHUNKS + 0u, 0u, group.x == 0xffffffffu);
  var sum = Vec();
  var product = Vec();
  if (mine) {
    for (var chunk = member; chunk < chunks; chunk += LANES_R) {
      sum += P[chunk * 2 * VECS + c];
      product += P[(chunk * 2 + 1) * VECS + c];
    }
  }
  added[lane * 2] = vec4f(sum);
  added[lane * 2 + 1] = vec4f(product);
  workgroupBarrier();
  sum = Vec();
  product = Vec();
  for (var i = 0u; i < lanesDown; i++) {
    sum += added[(i * LANES_C + slot) * 2].xyzw;
    product += added[(i * LANES_C + slot) * 2 + 1].xyzw;
  }
  if (mine && member == 0 && group.x == 0) {
    BETA_GRADIENT[c] = sum;
    GAMMA_GRADIENT[c] = product;
  }
  if (BATCH) {
    meanGradient = sum / f32(ROWS);
    slope = product / f32(ROWS) * FIGURES[3 * VECS + c];
  }
  // end
  // where GIVEN:
  meanGradient = MERGED[VECS + c] / f32(ROWS);
  slope = MERGED[c] / f32(ROWS) * FIGURES[3 * VECS + c];
  // end
  let mean = FIGURES[c];
  let scale = FIGURES[VECS + c];
  let beta = FIGURES[2 * VECS + c];
  if (mine) {
    let end = min((group.x + 1) * ROWS_PER_GROUP, ROWS);
    for (var r = group.x * ROWS_PER_GROUP + member; r < end; r += TOGETHER * LANES_R) {
      // Reads together, so that a GPU waits once for all.
      var x = array<Vec, TOGETHER>();
      var d = array<Vec, TOGETHER>();
      // unroll
      for (var u = 0; u < TOGETHER; u++) {
        let i = min(r + u * LANES_R, ROWS - 1) * VECS + c;
        x[u] = Vec(X[i]);
        d[u] = Vec(D[i]);
      }
      // unroll
      for (var u = 0; u < TOGETHER; u++) {
        let i = (r + u * LANES_R) * VECS + c;
        let centred = x[u] - mean;
        var g = d[u];
        g *= dropoutMask(i, STEP[0], STEP[1], STEP[3]).xyzw; // where DROPS
        if (RELU) {
          g = select(Vec(), g, fma(centred, scale, beta) > Vec());
        }
        var y = scale * (g - meanGradient - centred * slope);
        if (r + u * LANES_R < end) {
          y += Vec(R[i]); // where RESIDUAL
          Y[i] = Stored(y);
        }
      }
    }
  }
}
