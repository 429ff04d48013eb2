enable f16; // where HALF
// Batch norm, normalise, with what follows it in a WideResNet block folded in (Ioffe & Szegedy, 2015):
//
//   Y[r, c] = dropout(relu((X[r, c] - mean[c]) / sqrt(variance[c] + EPSILON) * gamma[c] + beta[c]))
//
// ReLU where RELU; inverted dropout where DROPOUT > 0: an element is kept where its random word is at least
// DROPOUT * 2^32, and scaled by 1 / (1 - DROPOUT). STEP is [number, seed, .., stream] (u32): with the element's index
// it fixes the mask, so backward makes it again and nothing is saved.
//
// Where BATCH, the statistics are the batch's, and every workgroup first merges those of all chunks, P [CHUNKS, 3,
// CHANNELS] (mean, sum of squared deviations, count; Chan, Golub & LeVeque, 1979), lanes in a fixed order. The first one
// keeps MEAN, UNBIASED (variance over ROWS - 1, for the running one) and FIGURES [4, CHANNELS]: mean, scale = gamma /
// sqrt(variance + EPSILON), beta, 1 / sqrt(variance + EPSILON). Else FIGURES are given.
//
// X, Y are [ROWS, CHANNELS]. Vec is vec4f where CHANNELS is a multiple of 4, else f32. A workgroup has LANES_C vectors of
// channels, each with LANES_R lanes, and ROWS_PER_GROUP rows: a lane's channels stay, so their figures stay in registers.
// include: pcg
alias Vec = vec4f;
alias Stored = Vec; // unless HALF
alias Stored = vec4h; // where HALF
const HALF = false;   // X, Y are stored as float16
const WIDTH = 4;
const ROWS = 4;
const CHANNELS = 4;
const EPSILON = 1e-5;
const RELU = true;
const DROPS = false;  // DROPOUT > 0
const DROPOUT = 0.0;
const BATCH = true;
const CHUNKS = 1;
const LANES_C = 1;
const LANES_R = 64;
const ROWS_PER_GROUP = 64;
const TOGETHER = 4;   // rows that a lane reads at once
const MERGED = 192;   // WORKGROUP * 3
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Stored>;
@group(0) @binding(1) var<storage, read_write> Y: array<Stored>;
@group(0) @binding(2) var<storage, read> FIGURES: array<Vec>; // unless BATCH
@group(0) @binding(3) var<storage, read_write> FIGURES: array<Vec>; // where BATCH
@group(0) @binding(4) var<storage, read> P: array<Vec>; // where BATCH
@group(0) @binding(5) var<storage, read> GAMMA: array<Vec>; // where BATCH
@group(0) @binding(6) var<storage, read> BETA: array<Vec>; // where BATCH
@group(0) @binding(7) var<storage, read_write> MEAN: array<Vec>; // where BATCH
@group(0) @binding(8) var<storage, read_write> UNBIASED: array<Vec>; // where BATCH
@group(0) @binding(9) var<uniform> STEP: vec4u; // where DROPS

var<workgroup> merged: array<vec4f, MERGED>; // where BATCH
// include: dropout_mask
// include: moments
// where BATCH:
// include: batch_norm_store
// end

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  const VECS = CHANNELS / WIDTH;
  let slot = lane % LANES_C;
  let member = lane / LANES_C;
  let c = min(group.y * LANES_C + slot, VECS - 1);
  let mine = member < LANES_R && group.y * LANES_C + slot < VECS;
  // where BATCH:
  // Bounds that the compiler cannot know: it would write these loops out, and software drivers take seconds over that.
  let lanesDown = select(LANES_R + 0u, 0u, group.x == 0xffffffffu);
  let chunks = select(CHUNKS + 0u, 0u, group.x == 0xffffffffu);
  var own = Moments(0.0, Vec(), Vec());
  if (mine) {
    for (var chunk = member; chunk < chunks; chunk += LANES_R) {
      let at = chunk * 3 * VECS + c;
      own = merge(own, Moments(vec4f(P[at + 2 * VECS]).x, P[at], P[at + VECS]));
    }
  }
  merged[lane * 3] = vec4f(own.count);
  merged[lane * 3 + 1] = vec4f(own.mean);
  merged[lane * 3 + 2] = vec4f(own.squares);
  workgroupBarrier();
  var all = Moments(0.0, Vec(), Vec());
  for (var i = 0u; i < lanesDown; i++) {
    let at = (i * LANES_C + slot) * 3;
    all = merge(all, Moments(merged[at].x, merged[at + 1].xyzw, merged[at + 2].xyzw));
  }
  let mean = all.mean;
  let scale = GAMMA[c] * deviationOf(all);
  let beta = BETA[c];
  if (mine && member == 0 && group.x == 0) {
    store(all, c);
  }
  // end
  // unless BATCH:
  let mean = FIGURES[c];
  let scale = FIGURES[VECS + c];
  let beta = FIGURES[2 * VECS + c];
  // end
  if (mine) {
    let end = min((group.x + 1) * ROWS_PER_GROUP, ROWS);
    for (var r = group.x * ROWS_PER_GROUP + member; r < end; r += TOGETHER * LANES_R) {
      // Reads together, so that a GPU waits once for all.
      var x = array<Vec, TOGETHER>();
      // unroll
      for (var u = 0; u < TOGETHER; u++) {
        x[u] = Vec(X[min(r + u * LANES_R, ROWS - 1) * VECS + c]);
      }
      // unroll
      for (var u = 0; u < TOGETHER; u++) {
        let i = (r + u * LANES_R) * VECS + c;
        var y = fma(x[u] - mean, scale, beta);
        if (RELU) {
          y = max(y, Vec());
        }
        y *= dropoutMask(i, STEP[0], STEP[1], STEP[3]).xyzw; // where DROPS
        if (r + u * LANES_R < end) {
          Y[i] = Stored(y);
        }
      }
    }
  }
}
