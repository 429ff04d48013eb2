// Convolution, backward-weights, as a GEMM with split-K: phase one of two (sum_leading adds the splits).
//
//   P[s, ky, kx, ci, co] = sum over rows (n, y) of split s and over x of
//                          X[n, y*S - P + ky, x*S - P + kx, ci] * D[n, y, x, co]
//
// GEMM: M = KERNEL^2 * IN_C filter rows, N = OUT_C, K = BATCH * OUT_H * OUT_W, cut into SPLITS runs of output rows.
// An invocation holds IN_WIDTH x COLUMNS vectors of one tap in registers. Lanes of a workgroup differ in tap and input
// channel, so D is read at one address by all of them.
//
// Layouts: X (input), D (gradient of the output) are NHWC, P is [split, ky, kx, ci, co]. InVec is vec4f where IN_C is
// a multiple of 4, else f32; OutVec likewise for OUT_C. The host guarantees COLUMNS divides OUT_C / width(OutVec).
alias InVec = vec4f;
alias OutVec = vec4f;
const IN_WIDTH = 4;
const OUT_WIDTH = 4;
const BATCH = 1;
const IN_H = 8;
const IN_W = 8;
const IN_C = 4;
const OUT_H = 8;
const OUT_W = 8;
const OUT_C = 4;
const KERNEL = 3;
const STRIDE = 1;
const PADDING = 1;
const SPLITS = 1;
const COLUMNS = 1;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<InVec>;
@group(0) @binding(1) var<storage, read> D: array<OutVec>;
@group(0) @binding(2) var<storage, read_write> P: array<OutVec>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  const IN_VECS = IN_C / IN_WIDTH;
  const OUT_VECS = OUT_C / OUT_WIDTH;
  const ROWS = BATCH * OUT_H;
  const ROWS_PER_SPLIT = (ROWS + SPLITS - 1) / SPLITS;
  let m = i32(group.x) * WORKGROUP + i32(lane);
  let tap = min(m / IN_VECS, KERNEL * KERNEL - 1);
  let c = m % IN_VECS;
  let column = i32(group.y) * COLUMNS;
  let split = i32(group.z);
  let offset = vec2i(tap % KERNEL, tap / KERNEL) - PADDING;

  var sum: array<OutVec, IN_WIDTH * COLUMNS>;
  for (var row = split * ROWS_PER_SPLIT; row < min((split + 1) * ROWS_PER_SPLIT, ROWS); row++) {
    let y = (row % OUT_H) * STRIDE + offset.y;
    let insideY = y >= 0 && y < IN_H;
    let base = ((row / OUT_H) * IN_H + clamp(y, 0, IN_H - 1)) * IN_W;
    var d = row * OUT_W * OUT_VECS + column;
    for (var outX = 0; outX < OUT_W; outX++) {
      let x = outX * STRIDE + offset.x;
      let inside = insideY && x >= 0 && x < IN_W;
      let value = select(vec4f(), vec4f(X[(base + clamp(x, 0, IN_W - 1)) * IN_VECS + c]), inside);
      // unroll
      for (var j = 0; j < COLUMNS; j++) {
        let gradient = D[d + j];
        // unroll
        for (var k = 0; k < IN_WIDTH; k++) {
          sum[k * COLUMNS + j] = fma(OutVec(value[k]), gradient, sum[k * COLUMNS + j]);
        }
      }
      d += OUT_VECS;
    }
  }

  if (m < KERNEL * KERNEL * IN_VECS) {
    // unroll
    for (var k = 0; k < IN_WIDTH; k++) {
      let at = ((split * KERNEL * KERNEL + tap) * IN_C + c * IN_WIDTH + k) * OUT_VECS + column;
      // unroll
      for (var j = 0; j < COLUMNS; j++) {
        P[at + j] = sum[k * COLUMNS + j];
      }
    }
  }
}
