// Matrix product: Y = op(A) op(B) [+ BIAS, one a column, where HAS_BIAS], op(.) a transposition where asked for.
//
// op(A) is [M, K], op(B) is [K, N], Y is [M, N]; A is stored [K, M] where TRANSPOSE_A, B is stored [N, K] where
// TRANSPOSE_B. An invocation computes ROWS x COLUMNS vectors in registers; lanes of a workgroup are adjacent tiles of rows,
// so B is read at one address by all of them. Indices past an edge are clamped on load and never stored.
//
// InVec is vec4f, four elements along K, where A is not transposed and K is a multiple of 4, else f32; OutVec is vec4f,
// four columns, where B is not transposed and N is a multiple of 4, else f32. The host binds B as BIAS where not HAS_BIAS.
alias InVec = vec4f;
alias OutVec = vec4f;
const IN_WIDTH = 4;
const OUT_WIDTH = 4;
const M = 4;
const N = 4;
const K = 4;
const TRANSPOSE_A = false;
const TRANSPOSE_B = false;
const HAS_BIAS = false;
const ROWS = 4;
const COLUMNS = 1;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> A: array<InVec>;
@group(0) @binding(1) var<storage, read> B: array<OutVec>;
@group(0) @binding(2) var<storage, read> BIAS: array<OutVec>;
@group(0) @binding(3) var<storage, read_write> Y: array<OutVec>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  const IN_VECS = K / IN_WIDTH;
  const OUT_VECS = N / OUT_WIDTH;
  let row = (i32(group.x) * WORKGROUP + i32(lane)) * ROWS;
  let column = i32(group.y) * COLUMNS;
  var sum: array<OutVec, ROWS * COLUMNS>;
  for (var k = 0; k < IN_VECS; k++) {
    var a: array<vec4f, ROWS>;
    // unroll
    for (var i = 0; i < ROWS; i++) {
      let m = min(row + i, M - 1);
      a[i] = vec4f(A[select(m * IN_VECS + k, k * M + m, TRANSPOSE_A)]);
    }
    // unroll
    for (var kk = 0; kk < IN_WIDTH; kk++) {
      // unroll
      for (var j = 0; j < COLUMNS; j++) {
        let n = min(column + j, OUT_VECS - 1);
        let b = B[select((k * IN_WIDTH + kk) * OUT_VECS + n, n * K + k * IN_WIDTH + kk, TRANSPOSE_B)];
        // unroll
        for (var i = 0; i < ROWS; i++) {
          sum[i * COLUMNS + j] = fma(OutVec(a[i][kk]), b, sum[i * COLUMNS + j]);
        }
      }
    }
  }
  // unroll
  for (var i = 0; i < ROWS; i++) {
    // unroll
    for (var j = 0; j < COLUMNS; j++) {
      if (row + i < M && column + j < OUT_VECS) {
        var y = sum[i * COLUMNS + j];
        if (HAS_BIAS) {
          y += BIAS[column + j];
        }
        Y[(row + i) * OUT_VECS + column + j] = y;
      }
    }
  }
}
