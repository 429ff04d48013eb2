enable f16; // where HALVES
enable subgroups; // where SUBGROUPS
diagnostic(off, subgroup_uniformity); // where SUBGROUPS
// Convolution, backward-weights, as a GEMM with split-K: phase one of two (sum_leading adds the splits).
//
//   P[s, ky, kx, ci, co] = sum over rows (n, y) of split s and over x of
//                          X[n, y*S - P + ky, x*S - P + kx, ci] * D[n, y, x, co]
//
// GEMM: M = KERNEL^2 * IN_C filter rows, N = OUT_C, K = BATCH * OUT_H * OUT_W, cut into SPLITS runs of output rows.
// An invocation holds IN_WIDTH x COLUMNS vectors for each tap of one filter row in registers, and a WINDOW of the input
// row slides along, RUN output pixels at a time: a pixel is read once for all taps of the row. A unit of UNIT lanes, a
// multiple of LANES, has one split and one group of COLUMNS; its lanes differ in filter row and input channel, so all need
// D at one address: where SUBGROUPS (of LANES), each lane reads another vector and all get it by shuffles, as in conv2d.
// (A subgroup has LANES lanes and so one unit, which the compiler cannot see: hence the diagnostic.)
//
// Layouts: X (input), D (gradient of the output) are NHWC, P is [split, ky, kx, ci, co]. InVec is vec4f where IN_C is
// a multiple of 4, else f32; OutVec likewise for OUT_C. The host guarantees COLUMNS divides OUT_C / width(OutVec).
alias InVec = vec4f;
alias OutVec = vec4f;
alias StoredIn = InVec; // unless HALFIN
alias StoredIn = vec4h; // where HALFIN
alias Stored = OutVec; // unless HALF
alias Stored = vec4h; // where HALF
const HALFIN = false;   // X is stored as float16
const HALF = false;     // D is
const HALVES = false;   // one of them is
const IN_WIDTH = 4;
const OUT_WIDTH = 4;
// include: convolution_shape
const SPLITS = 1;
const COLUMNS = 1;
const RUN = 4;
const WINDOW = 6;     // (RUN - 1) * STRIDE + KERNEL
const HELD = 1;       // ceil(RUN * COLUMNS / LANES)
const UNIT = 8;       // lanes of a unit: KERNEL * IN_C / IN_WIDTH, rounded up to a multiple of LANES
const SUBGROUPS = false;
const LANES = 8;
const LOOPS = false;  // as in conv2d
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<StoredIn>;
@group(0) @binding(1) var<storage, read> D: array<Stored>;
@group(0) @binding(2) var<storage, read_write> P: array<OutVec>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_invocation_id) invocation: u32, // where SUBGROUPS
) {
  const IN_VECS = IN_C / IN_WIDTH;
  const OUT_VECS = OUT_C / OUT_WIDTH;
  const ROWS = BATCH * OUT_H;
  const ROWS_PER_SPLIT = (ROWS + SPLITS - 1) / SPLITS;
  const GROUPS = OUT_VECS / COLUMNS;
  let invocationIndex = (i32(group.y) * i32(groups.x) + i32(group.x)) * WORKGROUP + i32(lane);
  let m = invocationIndex % UNIT;
  let unit = invocationIndex / UNIT;
  let ky = min(m / IN_VECS, KERNEL - 1);
  let c = m % IN_VECS;
  let column = (unit % GROUPS) * COLUMNS;
  let split = unit / GROUPS; // SPLITS or more past the end: no rows
  // where SUBGROUPS:
  // Which of a run's gradients this lane reads: pixels ahead of the first, and columns.
  var ahead = array<i32, HELD>();
  var across = array<i32, HELD>();
  // unroll
  for (var h = 0; h < HELD; h++) {
    let v = h * LANES + i32(invocation) % LANES;
    ahead[h] = v / COLUMNS;
    across[h] = column + v % COLUMNS;
  }
  // end

  var sum: array<OutVec, KERNEL * IN_WIDTH * COLUMNS>;
  for (var row = split * ROWS_PER_SPLIT; row < min((split + 1) * ROWS_PER_SPLIT, ROWS); row++) {
    let y = (row % OUT_H) * STRIDE + ky - PADDING;
    let insideY = y >= 0 && y < IN_H;
    let base = ((row / OUT_H) * IN_H + clamp(y, 0, IN_H - 1)) * IN_W;
    // The window of the run before the first, as far as it reaches into that of the first.
    var x = array<vec4f, WINDOW>();
    // unroll
    for (var i = 0; i < WINDOW; i++) {
      let at = i - RUN * STRIDE - PADDING;
      if (i >= RUN * STRIDE) {
        let inside = insideY & (at >= 0) & (at < IN_W);
        x[i] = select(vec4f(), vec4f(X[(base + clamp(at, 0, IN_W - 1)) * IN_VECS + c]), inside);
      }
    }
    for (var first = 0; first < OUT_W; first += RUN) {
      // unroll
      for (var i = 0; i < WINDOW; i++) {
        if (i + RUN * STRIDE < WINDOW) {
          x[i] = x[min(i + RUN * STRIDE, WINDOW - 1)];
        } else if (KERNEL > 1 || i % STRIDE == 0) {
          let at = first * STRIDE + i - PADDING;
          let inside = insideY & (at >= 0) & (at < IN_W);
          x[i] = select(vec4f(), vec4f(X[(base + clamp(at, 0, IN_W - 1)) * IN_VECS + c]), inside);
        }
      }
      // The gradients of the run, in order of pixel, column: zero past the end of the row.
      var d = array<OutVec, RUN * COLUMNS>();
      // where SUBGROUPS:
      var held = array<OutVec, HELD>();
      // unroll
      for (var h = 0; h < HELD; h++) {
        let outX = first + ahead[h];
        held[h] = select(OutVec(), OutVec(D[(row * OUT_W + min(outX, OUT_W - 1)) * OUT_VECS + across[h]]), outX < OUT_W);
      }
      // end
      // unroll
      for (var v = 0; v < RUN * COLUMNS; v++) {
        let outX = first + v / COLUMNS;
        d[v] = select(OutVec(), OutVec(D[(row * OUT_W + min(outX, OUT_W - 1)) * OUT_VECS + column + v % COLUMNS]), outX < OUT_W); // unless SUBGROUPS
        d[v] = subgroupShuffle(held[v / LANES], v % LANES); // where SUBGROUPS
      }
      // unroll
      for (var j = 0; j < COLUMNS; j++) {
        // unroll
        for (var kx = 0; kx < KERNEL; kx++) {
          // unroll
          for (var k = 0; k < IN_WIDTH; k++) {
            var value = sum[(kx * IN_WIDTH + k) * COLUMNS + j];
            // unroll
            for (var q = 0; q < RUN; q++) {
              value = fma(OutVec(x[q * STRIDE + kx][k]), d[q * COLUMNS + j], value);
            }
            sum[(kx * IN_WIDTH + k) * COLUMNS + j] = value;
          }
        }
      }
    }
  }

  if (m < KERNEL * IN_VECS && split < SPLITS) {
    // A bound that the compiler cannot know: a software driver takes seconds over the loop where it is written out. And what it
    // reads by number, as the sums here, stays in memory: else it copies all of them in every turn of the loops above.
    let vectors = select(KERNEL * IN_WIDTH, 0, group.x == 0xffffffffu); // where LOOPS
    for (var i = 0; i < vectors; i++) { // where LOOPS
    // unless LOOPS:
    // unroll
    for (var i = 0; i < KERNEL * IN_WIDTH; i++) {
    // end
      let tap = (split * KERNEL + ky) * KERNEL + i / IN_WIDTH;
      let at = (tap * IN_C + c * IN_WIDTH + i % IN_WIDTH) * OUT_VECS + column;
      // unroll
      for (var j = 0; j < COLUMNS; j++) {
        P[at + j] = sum[i * COLUMNS + j];
      }
    }
  }
}
