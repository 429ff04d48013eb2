enable f16; // where HALF
// Batch-norm statistics of every chunk of rows, for batch_norm_apply to merge.
//
//   P[chunk, 0, c] = mean of X[r, c],  P[chunk, 1, c] = sum (X[r, c] - that mean)^2,  P[chunk, 2, c] = rows of the chunk
//
// Deviations are taken from the chunk's first row, so a large mean costs no precision. Where a convolution makes X, its
// store does this (conv2d, REDUCE). X is [ROWS, CHANNELS] (NHWC with N, H, W joined), P is [CHUNKS, 3, CHANNELS]. Vec is vec4f where CHANNELS is a
// multiple of 4, else f32. The host guarantees that no chunk is empty.
alias Vec = vec4f;
alias Stored = Vec; // unless HALF
alias Stored = vec4h; // where HALF
const HALF = false;   // X is stored as float16
const WIDTH = 4;
const ROWS = 4;
const CHANNELS = 4;
const CHUNKS = 1;
const ROWS_PER_CHUNK = 4;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Stored>;
@group(0) @binding(1) var<storage, read_write> P: array<Vec>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  const VECS = CHANNELS / WIDTH;
  let c = id.x % VECS;
  let chunk = id.x / VECS;
  if (chunk >= CHUNKS) {
    return;
  }
  let first = chunk * ROWS_PER_CHUNK;
  let last = min(first + ROWS_PER_CHUNK, ROWS);
  let pivot = Vec(X[min(first, ROWS - 1) * VECS + c]); // a chunk may be empty
  var sum = Vec();
  var squares = Vec();
  for (var r = first; r < last; r++) {
    let d = Vec(X[r * VECS + c]) - pivot;
    sum += d;
    squares = fma(d, d, squares);
  }
  let count = f32(max(last, first) - first);
  let shift = sum / max(count, 1.0);
  P[chunk * 3 * VECS + c] = pivot + shift;
  P[(chunk * 3 + 1) * VECS + c] = max(squares - sum * shift, Vec());
  P[(chunk * 3 + 2) * VECS + c] = Vec() + count;
}
