// Convolution, backward-weights, as a GEMM with split-K: phase one of two (sum_leading adds the splits).
//
//   P[s, ky, kx, ci, co] = sum over rows (n, y) of split s and over x of
//                          X[n, y*S - P + ky, x*S - P + kx, ci] * D[n, y, x, co]
//
// GEMM: M = KERNEL^2 * IN_C filter rows, N = OUT_C, K = BATCH * OUT_H * OUT_W, cut into SPLITS runs of output rows.
// An invocation holds IN_WIDTH x COLUMNS vectors for each tap of one filter row in registers, and a window of the input
// row slides along: a pixel is read once for all taps of the row (STRIDE new ones for each output pixel). Lanes of a
// workgroup differ in filter row and input channel, so D is read at one address by all of them.
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
  let ky = min(m / IN_VECS, KERNEL - 1);
  let c = m % IN_VECS;
  let column = i32(group.y) * COLUMNS;
  let split = i32(group.z);

  var sum: array<OutVec, KERNEL * IN_WIDTH * COLUMNS>;
  for (var row = split * ROWS_PER_SPLIT; row < min((split + 1) * ROWS_PER_SPLIT, ROWS); row++) {
    let y = (row % OUT_H) * STRIDE + ky - PADDING;
    let insideY = y >= 0 && y < IN_H;
    let base = ((row / OUT_H) * IN_H + clamp(y, 0, IN_H - 1)) * IN_W;
    // The window of the output pixel before the first, as far as it reaches into that of the first.
    var window = array<vec4f, KERNEL>();
    // unroll
    for (var kx = 0; kx < KERNEL; kx++) {
      let x = kx - STRIDE - PADDING;
      if (kx >= STRIDE && insideY && x >= 0 && x < IN_W) {
        window[kx] = vec4f(X[(base + x) * IN_VECS + c]);
      }
    }
    var d = row * OUT_W * OUT_VECS + column;
    for (var outX = 0; outX < OUT_W; outX++) {
      // unroll
      for (var kx = 0; kx < KERNEL; kx++) {
        if (kx + STRIDE < KERNEL) {
          window[kx] = window[min(kx + STRIDE, KERNEL - 1)];
        } else {
          let x = outX * STRIDE + kx - PADDING;
          let inside = insideY && x >= 0 && x < IN_W;
          window[kx] = select(vec4f(), vec4f(X[(base + clamp(x, 0, IN_W - 1)) * IN_VECS + c]), inside);
        }
      }
      // unroll
      for (var j = 0; j < COLUMNS; j++) {
        let gradient = D[d + j];
        // unroll
        for (var kx = 0; kx < KERNEL; kx++) {
          // unroll
          for (var k = 0; k < IN_WIDTH; k++) {
            sum[(kx * IN_WIDTH + k) * COLUMNS + j] =
              fma(OutVec(window[kx][k]), gradient, sum[(kx * IN_WIDTH + k) * COLUMNS + j]);
          }
        }
      }
      d += OUT_VECS;
    }
  }

  if (m < KERNEL * IN_VECS) {
    // unroll
    for (var kx = 0; kx < KERNEL; kx++) {
      // unroll
      for (var k = 0; k < IN_WIDTH; k++) {
        let tap = (split * KERNEL + ky) * KERNEL + kx;
        let at = (tap * IN_C + c * IN_WIDTH + k) * OUT_VECS + column;
        // unroll
        for (var j = 0; j < COLUMNS; j++) {
          P[at + j] = sum[(kx * IN_WIDTH + k) * COLUMNS + j];
        }
      }
    }
  }
}
