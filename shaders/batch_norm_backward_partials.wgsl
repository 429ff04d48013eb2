enable f16; // where HALF
// Batch norm backward, phase one of two: sums over every chunk of rows.
//
//   P[chunk, 0, c] = sum g,  P[chunk, 1, c] = sum g * xhat,  g = D through dropout and ReLU, xhat the normalised input
//
// Nothing was saved of the masks: ReLU's is made again from X, dropout's from its counters. X (input), D (gradient of the
// output) are [ROWS, CHANNELS], P is [CHUNKS, 2, CHANNELS]. Folding, FIGURES, STEP and Vec as in batch_norm_apply,
// LANES as in batch_norm_partials.
// The host guarantees that no chunk is empty. Where a convolution makes D, its store does this (conv2d, REDUCE). Where
// POOLED, D is the gradient of the mean over POSITIONS, [ROWS / POSITIONS, CHANNELS], and that of the output, Y = D / POSITIONS, is stored.
// include: pcg
alias Vec = vec4f;
alias Stored = Vec; // unless HALF
alias Stored = vec4h; // where HALF
const HALF = false;   // X, Y and, unless POOLED, D are stored as float16
const WIDTH = 4;
const ROWS = 4;
const CHANNELS = 4;
const RELU = true;
const DROPS = false;  // DROPOUT > 0
const DROPOUT = 0.0;
const POOLED = false;
const POSITIONS = 1;
const CHUNKS = 1;
const ROWS_PER_CHUNK = 4;
const LANES = 1;
const SHARED = false; // LANES > 1
const FOUND = 128;    // WORKGROUP * 2
const TOGETHER = 1;   // rows that an invocation reads at once
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Stored>;
@group(0) @binding(1) var<storage, read> D: array<Stored>; // unless POOLED
@group(0) @binding(1) var<storage, read> D: array<Vec>; // where POOLED
@group(0) @binding(2) var<storage, read> FIGURES: array<Vec>;
@group(0) @binding(3) var<storage, read_write> P: array<Vec>;
@group(0) @binding(4) var<storage, read_write> Y: array<Stored>; // where POOLED
@group(0) @binding(5) var<uniform> STEP: vec4u; // where DROPS

var<workgroup> found: array<vec4f, FOUND>; // where SHARED
// include: dropout_mask

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  // include: batch_norm_chunk
  let mean = FIGURES[c];
  let scale = FIGURES[VECS + c];
  let beta = FIGURES[2 * VECS + c];
  var sum = Vec();
  var product = Vec();
  for (var r = first + member; r < last; r += TOGETHER * LANES) {
    // Reads together, so that a GPU waits once for all.
    var x = array<Vec, TOGETHER>();
    var d = array<Vec, TOGETHER>();
    // unroll
    for (var u = 0; u < TOGETHER; u++) {
      let row = min(r + u * LANES, ROWS - 1);
      x[u] = Vec(X[row * VECS + c]);
      d[u] = Vec(D[row * VECS + c]); // unless POOLED
      d[u] = D[row / POSITIONS * VECS + c] / f32(POSITIONS); // where POOLED
    }
    // unroll
    for (var u = 0; u < TOGETHER; u++) {
      if (r + u * LANES < last) {
        let i = (r + u * LANES) * VECS + c;
        let centred = x[u] - mean;
        var g = d[u];
        Y[i] = Stored(g); // where POOLED
        g *= dropoutMask(i, STEP[0], STEP[1], STEP[3]).xyzw; // where DROPS
        if (RELU) {
          g = select(Vec(), g, fma(centred, scale, beta) > Vec());
        }
        sum += g;
        product = fma(g, centred, product);
      }
    }
  }
  // where SHARED:
  found[lane] = vec4f(sum);
  found[WORKGROUP + lane] = vec4f(product);
  workgroupBarrier();
  for (var i = 1u; i < LANES; i++) {
    let at = (lane + i * SLOTS) % WORKGROUP;
    sum += found[at].xyzw;
    product += found[WORKGROUP + at].xyzw;
  }
  // end
  if (member == 0 && chunk < CHUNKS) {
    P[chunk * 2 * VECS + c] = sum;
    P[(chunk * 2 + 1) * VECS + c] = product * FIGURES[3 * VECS + c];
  }
}
