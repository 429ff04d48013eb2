enable subgroups; // where SUBGROUPS
// Matrix product: Y = op(A) op(B) [+ BIAS, one a column, where BIASED], op(.) a transposition where asked for.
//
// op(A) is [M, K], op(B) is [K, N], Y is [M, N]; A is stored [K, M] where TRANSPOSE_A, B is stored [N, K] where
// TRANSPOSE_B. An invocation computes ROWS x COLUMNS vectors in registers; lanes of a workgroup are adjacent tiles of rows,
// so all need B at one address: where SUBGROUPS (of LANES or more), each lane reads another vector and all get it by
// shuffles, as in conv2d. Indices past an edge are clamped on load and never stored.
//
// InVec is vec4f, four elements along K, where A is not transposed and K is a multiple of 4, else f32; OutVec is vec4f,
// four columns, where B is not transposed and N is a multiple of 4, else f32.
alias InVec = vec4f;
alias OutVec = vec4f;
const IN_WIDTH = 4;
const OUT_WIDTH = 4;
const M = 4;
const N = 4;
const K = 4;
const TRANSPOSE_A = false;
const TRANSPOSE_B = false;
const BIASED = false;
const ROWS = 4;
const COLUMNS = 1;
const HELD = 1;       // ceil(IN_WIDTH * COLUMNS / LANES)
const SUBGROUPS = false;
const LANES = 8;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> A: array<InVec>;
@group(0) @binding(1) var<storage, read> B: array<OutVec>;
@group(0) @binding(2) var<storage, read> BIAS: array<OutVec>; // where BIASED
@group(0) @binding(3) var<storage, read_write> Y: array<OutVec>;

// Where row k of op(B) has its column n, which is clamped to the last.
fn rightAt(k: i32, n: i32) -> i32 {
  const OUT_VECS = N / OUT_WIDTH;
  let column = min(n, OUT_VECS - 1);
  return select(k * OUT_VECS + column, column * K + k, TRANSPOSE_B);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_invocation_id) invocation: u32, // where SUBGROUPS
) {
  const IN_VECS = K / IN_WIDTH;
  const OUT_VECS = N / OUT_WIDTH;
  let row = (i32(group.x) * WORKGROUP + i32(lane)) * ROWS;
  let column = i32(group.y) * COLUMNS;
  // where SUBGROUPS:
  // Which of the vectors below this lane reads: rows of B after the first, and columns.
  var below = array<i32, HELD>();
  var across = array<i32, HELD>();
  // unroll
  for (var h = 0; h < HELD; h++) {
    let v = h * LANES + i32(invocation) % LANES;
    below[h] = min(v / COLUMNS, IN_WIDTH - 1);
    across[h] = column + v % COLUMNS;
  }
  // end
  var sum: array<OutVec, ROWS * COLUMNS>;
  // A bound that the compiler cannot know: it would write the loop out, and software drivers take seconds over that.
  let depth = select(IN_VECS, 0, group.x == 0xffffffffu);
  for (var k = 0; k < depth; k++) {
    var a: array<vec4f, ROWS>;
    // unroll
    for (var i = 0; i < ROWS; i++) {
      let m = min(row + i, M - 1);
      a[i] = vec4f(A[select(m * IN_VECS + k, k * M + m, TRANSPOSE_A)]);
    }
    // where SUBGROUPS:
    // Vectors of B in order of row, column: each lane holds one in LANES.
    var held = array<OutVec, HELD>();
    // unroll
    for (var h = 0; h < HELD; h++) {
      held[h] = B[rightAt(k * IN_WIDTH + below[h], across[h])];
    }
    // end
    // A sum at a time, over all of these terms: so it stays in registers.
    // unroll
    for (var j = 0; j < COLUMNS; j++) {
      var b: array<OutVec, IN_WIDTH>;
      // unroll
      for (var kk = 0; kk < IN_WIDTH; kk++) {
        b[kk] = B[rightAt(k * IN_WIDTH + kk, column + j)]; // unless SUBGROUPS
        b[kk] = subgroupShuffle(held[(kk * COLUMNS + j) / LANES], (kk * COLUMNS + j) % LANES); // where SUBGROUPS
      }
      // unroll
      for (var i = 0; i < ROWS; i++) {
        var value = sum[i * COLUMNS + j];
        // unroll
        for (var kk = 0; kk < IN_WIDTH; kk++) {
          value = fma(OutVec(a[i][kk]), b[kk], value);
        }
        sum[i * COLUMNS + j] = value;
      }
    }
  }
  // unroll
  for (var i = 0; i < ROWS; i++) {
    // unroll
    for (var j = 0; j < COLUMNS; j++) {
      if ((row + i < M) & (column + j < OUT_VECS)) {
        var y = sum[i * COLUMNS + j];
        y += BIAS[column + j]; // where BIASED
        Y[(row + i) * OUT_VECS + column + j] = y;
      }
    }
  }
}
