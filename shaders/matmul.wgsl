// Matrix product: Y = op(A) op(B) [+ BIAS, one a column, where HAS_BIAS], op(.) a transposition where asked for.
//
// op(A) is [M, K], op(B) is [K, N], Y is [M, N]; A is stored [K, M] where TRANSPOSE_A, B is stored [N, K] where
// TRANSPOSE_B. An invocation computes TILE x TILE elements. Indices past an edge are clamped on load and never stored.
// The host binds A as BIAS where not HAS_BIAS.
const M = 4;
const N = 4;
const K = 4;
const TRANSPOSE_A = false;
const TRANSPOSE_B = false;
const HAS_BIAS = false;
const TILE = 4;

@group(0) @binding(0) var<storage, read> A: array<f32>;
@group(0) @binding(1) var<storage, read> B: array<f32>;
@group(0) @binding(2) var<storage, read> BIAS: array<f32>;
@group(0) @binding(3) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x * TILE;
  let row = id.y * TILE;
  var sum: array<f32, TILE * TILE>;
  for (var k = 0u; k < K; k++) {
    var b: array<f32, TILE>;
    // unroll
    for (var j = 0u; j < TILE; j++) {
      let n = min(column + j, N - 1);
      b[j] = B[select(k * N + n, n * K + k, TRANSPOSE_B)];
    }
    // unroll
    for (var i = 0u; i < TILE; i++) {
      let m = min(row + i, M - 1);
      let a = A[select(m * K + k, k * M + m, TRANSPOSE_A)];
      // unroll
      for (var j = 0u; j < TILE; j++) {
        sum[i * TILE + j] = fma(a, b[j], sum[i * TILE + j]);
      }
    }
  }
  // unroll
  for (var i = 0u; i < TILE; i++) {
    // unroll
    for (var j = 0u; j < TILE; j++) {
      if (row + i < M && column + j < N) {
        var y = sum[i * TILE + j];
        if (HAS_BIAS) {
          y += BIAS[column + j];
        }
        Y[(row + i) * N + column + j] = y;
      }
    }
  }
}
