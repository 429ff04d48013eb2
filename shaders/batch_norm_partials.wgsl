enable f16; // where HALF
// Batch-norm statistics of every chunk of rows, for batch_norm_apply to merge.
//
//   P[chunk, 0, c] = mean of X[r, c],  P[chunk, 1, c] = sum (X[r, c] - that mean)^2,  P[chunk, 2, c] = rows of the chunk
//
// Deviations are taken from the chunk's first row, so a large mean costs no precision. Where a convolution makes X, its
// store does this (conv2d, REDUCE). X is [ROWS, CHANNELS] (NHWC with N, H, W joined), P is [CHUNKS, 3, CHANNELS]. Vec is vec4f where CHANNELS is a
// multiple of 4, else f32. Of a vector of channels, LANES invocations share a chunk, rows in turn: 1, or where SHARED, on a GPU,
// more.
alias Vec = vec4f;
alias Stored = Vec; // unless HALF
alias Stored = vec4h; // where HALF
const HALF = false;   // X is stored as float16
const WIDTH = 4;
const ROWS = 4;
const CHANNELS = 4;
const CHUNKS = 1;
const ROWS_PER_CHUNK = 4;
const LANES = 1;
const SHARED = false; // LANES > 1
const FOUND = 128;    // WORKGROUP * 2
const TOGETHER = 1;   // rows that an invocation reads at once
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Stored>;
@group(0) @binding(1) var<storage, read_write> P: array<Vec>;

var<workgroup> found: array<vec4f, FOUND>; // where SHARED

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  // include: batch_norm_chunk
  let pivot = Vec(X[min(first, ROWS - 1) * VECS + c]); // a chunk may be empty
  var sum = Vec();
  var squares = Vec();
  for (var r = first + member; r < last; r += TOGETHER * LANES) {
    // Reads together, so that a GPU waits once for all.
    var x = array<Vec, TOGETHER>();
    // unroll
    for (var u = 0; u < TOGETHER; u++) {
      x[u] = Vec(X[min(r + u * LANES, ROWS - 1) * VECS + c]);
    }
    // unroll
    for (var u = 0; u < TOGETHER; u++) {
      let d = select(Vec(), x[u] - pivot, r + u * LANES < last);
      sum += d;
      squares = fma(d, d, squares);
    }
  }
  // where SHARED:
  found[lane] = vec4f(sum);
  found[WORKGROUP + lane] = vec4f(squares);
  workgroupBarrier();
  for (var i = 1u; i < LANES; i++) {
    let at = (lane + i * SLOTS) % WORKGROUP;
    sum += found[at].xyzw;
    squares += found[WORKGROUP + at].xyzw;
  }
  // end
  if (member == 0 && chunk < CHUNKS) {
    let count = f32(last - first);
    let shift = sum / max(count, 1.0);
    P[chunk * 3 * VECS + c] = pivot + shift;
    P[(chunk * 3 + 1) * VECS + c] = max(squares - sum * shift, Vec());
    P[(chunk * 3 + 2) * VECS + c] = Vec() + count;
  }
}
