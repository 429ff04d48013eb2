enable f16; // where HALVES
enable subgroups; // where SUBGROUPS
// Convolution as implicit GEMM, forward and backward-data.
//
//   forward        Y[n, y, x, co] = sum_{ky, kx, ci} X[n, y*S - P + ky, x*S - P + kx, ci] * W[ky, kx, ci, co]
//   backward-data  Y[n, y, x, co] = sum_{ky, kx, ci} X[n, (y + P - ky)/S, (x + P - kx)/S, ci] * W[ky, kx, ci, co]
//                  over the taps for which the divisions are exact; X is the gradient of the convolution's output, and
//                  W[ky, kx, ci, co] here is the filter's [ky, kx, co, ci]: it is read as it lies, for dot products along ci
//   both           + R[n, y, x, co] where RESIDUAL
//
// GEMM: M = BATCH * GRID_H * GRID_W output pixels, N = OUT_C, K = KERNEL^2 * IN_C. Nothing is unrolled in memory.
// An invocation computes PIXELS x COLUMNS vectors in registers, of PIXELS adjacent pixels of a row: for each filter row it
// reads a WINDOW of input pixels once, and each of them serves all taps that it falls under. Lanes of a workgroup need W
// at one address. Where SUBGROUPS (of LANES), each lane reads another vector and all get it by shuffles: on a CPU every
// lane's load costs, and a load at one address costs as much as at many. For the same reason lanes get pixels that lie in a
// neighbour's tile from that lane (a subgroup's lanes have LANES tiles in order). Else a uniform buffer serves that best.
// 64 KiB is the limit of one, so a larger filter comes in PARTS = KERNEL rows, bound apart, and one larger still stays in
// a storage buffer. In backward-data with stride S, workgroup_id.z and x pick one of S*S parity classes of output
// pixels; each class has its own taps, so no multiplication by zero is made (but where ZEROS, along x: an
// infinity there becomes NaN in all classes).
//
// Where ACTIVATE, the batch norm and ReLU that follow in evaluation are done on store: with v the value above,
// max(0, v * AFFINE[0, co] + AFFINE[1, co]) goes to Y; or, where BOTH, to Z, and v itself to Y.
//
// Where REDUCE, what batch norm needs of a workgroup's values is made as they are stored, P[chunk, .., co] with a chunk a
// workgroup of each column of the grid, or where QUADS each of its subgroups:
//   forward        mean, sum of squared deviations, count (batch_norm_apply merges them); deviations are taken from one of
//                  the values, so a large mean costs no precision
//   backward-data  sum g, sum g * xhat, as batch_norm_backward_partials makes them (which has the formulas), of the batch
//                  norm with input N and channel figures FIGURES whose output's gradient is Y
//
// Layouts: X, Y, R, N are NHWC, W is [ky, kx, in, out] of the forward convolution. InVec is vec4f where IN_C is a multiple of 4, else
// f32, and where QUADS and X is not float16; OutVec likewise for OUT_C; FilterVec for W's last axis. The host guarantees COLUMNS
// divides OUT_C / width(OutVec) and gives TAPS = ceil(KERNEL / S) in backward-data, KERNEL in forward, and WINDOW, the input pixels
// under PIXELS. ACTIVATE and REDUCE exclude each other.
// include: pcg
alias InVec = vec4f;
alias OutVec = vec4f;
alias FilterVec = vec4f;
alias StoredIn = InVec; // unless HALFIN
alias StoredIn = vec4h; // where HALFIN
alias Stored = OutVec; // unless HALF
alias Stored = vec4h; // where HALF
const HALFIN = false; // X is stored as float16
const HALF = false;   // R, Y, Z, N are
const HALVES = false; // some of them are
const IN_WIDTH = 4;   // channels in an InVec
const OUT_WIDTH = 4;  // channels in an OutVec
const FILTER_WIDTH = 4;
// include: convolution_shape
// include: convolution_store
const PARTS = 1;
const PARTED = false;     // PARTS > 1
const CUT = false;        // BACKWARD and STRIDE > 1: some classes have fewer taps, which branches leave out
const ZEROS = false;      // likewise, and zeros take the place of weights
const NARROW = false;     // IN_WIDTH is 1
const CHUNKS = 1;         // of a parity class
const REDUCED = 512;      // WORKGROUP * COLUMNS * OUT_WIDTH * 2
const PIXELS = 4;
const BLOCK = 2;
const BLOCKS = 2;     // PIXELS / BLOCK
const TAPS = 3;
const WINDOW = 6;
const TAP = 4;        // vectors of a tap for a column: OUT_WIDTH where BACKWARD, else IN_WIDTH
const HELD = 2;       // ceil(TAPS * TAP * COLUMNS / LANES)
const SUBGROUPS = false;
const LANES = 8;
const LOOPS = false;  // LLVM compiles, which takes long over loops that are written out
const QUADS = false;  // SUBGROUPS of 4 lanes: SwiftShader's
const COLUMNS = 1;
const WORKGROUP = 64;
const TILES_W = (GRID_W + PIXELS - 1) / PIXELS;
const TILES = BATCH * GRID_H * TILES_W;
const OWN = PIXELS * STRIDE; // pixels of a window that are no other tile's
// Whether lanes get the rest of their windows from their neighbours, as rows of tiles begin with a subgroup.
const SHARED = SUBGROUPS && LANES % TILES_W == 0 && PADDING <= OWN && PADDING + OWN <= WINDOW && (STRIDE == 1 || !BACKWARD);
const WHOLE = GRID_W % PIXELS == 0 && OUT_W % GRID_W == 0; // no tile reaches past a row

@group(0) @binding(0) var<storage, read> X: array<StoredIn>;
@group(0) @binding(1) var<storage, read> W0: array<FilterVec>;
@group(0) @binding(2) var<storage, read> W1: array<FilterVec>; // where PARTED
@group(0) @binding(3) var<storage, read> W2: array<FilterVec>; // where PARTED
@group(0) @binding(4) var<storage, read> R: array<Stored>; // where RESIDUAL
@group(0) @binding(5) var<storage, read_write> Y: array<Stored>;
@group(0) @binding(6) var<storage, read> AFFINE: array<OutVec>; // where ACTIVATE
@group(0) @binding(7) var<storage, read_write> Z: array<Stored>; // where BOTH
@group(0) @binding(6) var<storage, read_write> P: array<f32>; // where REDUCE
@group(0) @binding(7) var<storage, read> N: array<Stored>; // where GRADIENTS
@group(0) @binding(8) var<storage, read> FIGURES: array<OutVec>; // where GRADIENTS
@group(0) @binding(9) var<uniform> STEP: vec4u; // where DROPS

// unless QUADS:
// By lane, figure, channel.
var<workgroup> reduced: array<f32, REDUCED>; // where REDUCE
var<workgroup> pivots: array<vec4f, COLUMNS>; // where STATISTICS
// end
// include: dropout_mask

fn weightAt(part: i32, i: i32) -> FilterVec {
  // where PARTED:
  switch (part) {
    case 1: {
      return W1[i];
    }
    case 2: {
      return W2[i];
    }
    default: {}
  }
  // end
  return W0[i];
}

// Vector `i` of a tap for column `j` and input vector `c`: that of input channel i, all output channels of the column; where
// BACKWARD, that of output channel i, all input channels of c.
fn weightsOf(tap: i32, i: i32, c: i32, j: i32) -> i32 {
  if (BACKWARD) {
    return (tap * OUT_C + j * OUT_WIDTH + i) * (IN_C / IN_WIDTH) + c;
  }
  return (tap * IN_C + c * IN_WIDTH + i) * (OUT_C / OUT_WIDTH) + j;
}

// include: convolution_taps

// Pixels of the tiles before tile t: the last of a row may be cut short.
fn pixelsBefore(t: i32) -> i32 {
  return (t / TILES_W) * GRID_W + min((t % TILES_W) * PIXELS, GRID_W);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_invocation_id) invocation: u32, // where SUBGROUPS
) {
  const IN_VECS = IN_C / IN_WIDTH;
  const OUT_VECS = OUT_C / OUT_WIDTH;
  // The class in turns along x: software drivers give each thread a run of workgroups, and classes have more taps or fewer.
  let parityClass = select(0, (i32(group.z) + i32(group.x)) % (STRIDE * STRIDE), BACKWARD);
  let parity = vec2i(parityClass % STRIDE, parityClass / STRIDE);
  let rows = taps(parity.y);
  let columns = taps(parity.x);
  // A class may have no taps at all.
  let rowCount = select(rows.count, 0, columns.count == 0);
  let column = i32(group.y) * COLUMNS;

  let tile = i32(group.x) * WORKGROUP + i32(lane);
  let at = min(tile, TILES - 1);
  let gridX = (at % TILES_W) * PIXELS;
  let gridY = (at / TILES_W) % GRID_H;
  let image = at / (TILES_W * GRID_H);
  // The window's first pixel: in backward-data the taps run against it.
  let left = origin(gridX, parity.x) - select(0, TAPS - 1, BACKWARD);
  let top = origin(gridY, parity.y);

  // where SUBGROUPS:
  // Where this lane's weights of a row lie, after that row's first.
  var places = array<i32, HELD>();
  var counts = array<bool, HELD>(); // where ZEROS
  // unroll
  for (var h = 0; h < HELD; h++) {
    let v = h * LANES + i32(invocation) % LANES;
    let tx = min(v / (TAP * COLUMNS), TAPS - 1);
    counts[h] = tx < columns.count; // where ZEROS
    places[h] = weightsOf(min(columns.first + tx * columns.step, KERNEL - 1), (v / COLUMNS) % TAP, 0, column + v % COLUMNS);
  }
  // end
  var sum = array<OutVec, PIXELS * COLUMNS>();
  { // where SUBGROUPS
  // unless SUBGROUPS:
  // unroll
  for (var part = 0; part < PARTS; part++) {
  // end
    for (var ty = 0; ty < rowCount; ty++) {
      let ky = rows.first + ty * rows.step;
      let part = select(0, ky, PARTS > 1); // where SUBGROUPS
      // unless SUBGROUPS:
      if (PARTS > 1 && ky != part) {
        continue;
      }
      // end
      let y = top + ty * rows.direction;
      let insideY = y >= 0 && y < IN_H;
      let row = (image * IN_H + clamp(y, 0, IN_H - 1)) * IN_W;
      let filterRow = (ky % (KERNEL / PARTS)) * KERNEL;
      // Sums of a row of taps and IN_WIDTH channels, of all channels, of all rows: short chains of additions lose few bits.
      var partial = array<OutVec, PIXELS * COLUMNS>();
      for (var c = 0; c < IN_VECS; c++) {
        var x = array<vec4f, WINDOW>();
        // unroll
        for (var i = 0; i < WINDOW; i++) {
          if ((BACKWARD || KERNEL > 1 || i % STRIDE == 0) && !(SHARED && (i < PADDING || i >= PADDING + OWN))) {
            let inside = insideY & (left + i >= 0) & (left + i < IN_W);
            x[i] = select(vec4f(), vec4f(X[(row + clamp(left + i, 0, IN_W - 1)) * IN_VECS + c]), inside);
          }
        }
        // where SUBGROUPS:
        // unroll
        for (var i = 0; i < WINDOW; i++) {
          let inside = (left + i >= 0) & (left + i < IN_W);
          if (SHARED && i < PADDING) {
            x[i] = select(vec4f(), subgroupShuffleUp(x[min(i + OWN, WINDOW - 1)], 1), inside);
          }
          if (SHARED && i >= PADDING + OWN) {
            x[i] = select(vec4f(), subgroupShuffleDown(x[max(i - OWN, 0)], 1), inside);
          }
        }
        // end
        // where SUBGROUPS:
        // The weights of this row and these channels, in order of tap, vector, column: each lane holds one in LANES.
        var held = array<FilterVec, HELD>();
        // unroll
        for (var h = 0; h < HELD; h++) {
          held[h] = weightAt(part, weightsOf(filterRow, 0, c, 0) + places[h]);
          held[h] = select(FilterVec(), held[h], counts[h]); // where ZEROS
        }
        // end
        // Few accumulators at a time, over all taps: so more of them stay in registers.
        // unroll
        for (var j = 0; j < COLUMNS; j++) {
          // unroll
          for (var b = 0; b < BLOCKS; b++) {
            var value = array<vec4f, BLOCK>();
            // unroll
            for (var tx = 0; tx < TAPS; tx++) {
              if (tx < columns.count) { // where CUT
                let tap = filterRow + columns.first + tx * columns.step; // unless SUBGROUPS
                // unroll
                for (var k = 0; k < TAP; k++) {
                  let w = vec4f(weightAt(part, weightsOf(tap, k, c, column + j))); // unless SUBGROUPS
                  let w = vec4f(subgroupShuffle(held[((tx * TAP + k) * COLUMNS + j) / LANES], ((tx * TAP + k) * COLUMNS + j) % LANES)); // where SUBGROUPS
                  // unroll
                  for (var q = 0; q < BLOCK; q++) {
                    value[q] = fma(vec4f(x[(b * BLOCK + q) * STRIDE + tx][k]), w, value[q]); // unless BACKWARD
                    // where BACKWARD:
                    let g = x[b * BLOCK + q + TAPS - 1 - tx];
                    value[q][k] = fma(g.x, w.x, value[q][k]); // where NARROW
                    value[q][k] = fma(g.w, w.w, fma(g.z, w.z, fma(g.y, w.y, fma(g.x, w.x, value[q][k])))); // unless NARROW
                    // end
                  }
                }
              } // where CUT
            }
            // unroll
            for (var q = 0; q < BLOCK; q++) {
              partial[(b * BLOCK + q) * COLUMNS + j] += value[q].xyzw;
            }
          }
        }
      }
      // where LOOPS:
      // Never so; it keeps them in memory, too.
      if (group.x == 0xffffffffu) { sum[0] = partial[lane]; }
      // end
      // unroll
      for (var i = 0; i < PIXELS * COLUMNS; i++) {
        sum[i] += partial[i];
      }
    }
  }

  // Factors, then summands of this tile's channels.
  var affine = array<OutVec, 2 * COLUMNS>();
  // unroll
  for (var j = 0; j < 2 * COLUMNS; j++) { // where ACTIVATE
    affine[j] = AFFINE[(j / COLUMNS) * OUT_VECS + column + j % COLUMNS]; // where ACTIVATE
  } // where ACTIVATE

  let outY = spread(gridY, parity.y);
  let inRow = tile < TILES && outY < OUT_H;
  // where STATISTICS:
  // Deviations are from the first value of the workgroup, or of the subgroup.
  // where QUADS:
  var pivots = array<vec4f, COLUMNS>();
  // end
  // unless QUADS:
  if (lane == 0) {
  // end
    // unroll
    for (var j = 0; j < COLUMNS; j++) {
      pivots[j] = vec4f(sum[j]);
      pivots[j] += vec4f(R[((image * OUT_H + outY) * OUT_W + gridX) * OUT_VECS + column + j]); // where RESIDUAL
      pivots[j] = subgroupShuffle(pivots[j], 0); // where QUADS
    }
  // unless QUADS:
  }
  workgroupBarrier();
  // end
  // end
  // where REDUCE:
  var first = array<OutVec, COLUMNS>();
  var second = array<OutVec, COLUMNS>();
  // end
  // where GRADIENTS:
  var mean = array<OutVec, COLUMNS>();
  var scale = array<OutVec, COLUMNS>();
  var beta = array<OutVec, COLUMNS>();
  // unroll
  for (var j = 0; j < COLUMNS; j++) {
    mean[j] = FIGURES[column + j];
    scale[j] = FIGURES[OUT_VECS + column + j];
    beta[j] = FIGURES[2 * OUT_VECS + column + j];
  }
  // end
  if (inRow) {
    // A bound that the compiler cannot know: a software driver takes seconds over the loop where it is written out. And what it
    // reads by number, as the sums here, stays in memory: else it copies all of them in every turn of the loops above.
    let pixels = select(PIXELS, 0, group.x == 0xffffffffu); // where LOOPS
    for (var p = 0; p < pixels; p++) { // where LOOPS
    // unless LOOPS:
    // unroll
    for (var p = 0; p < PIXELS; p++) {
    // end
      let outX = spread(gridX + p, parity.x);
      if (WHOLE || ((gridX + p < GRID_W) & (outX < OUT_W))) {
        let pixel = ((image * OUT_H + outY) * OUT_W + outX) * OUT_VECS + column;
        // unroll
        for (var j = 0; j < COLUMNS; j++) {
          var value = sum[p * COLUMNS + j];
          value += OutVec(R[pixel + j]); // where RESIDUAL
          var result = value;
          if (ACTIVATE) { result = max(fma(value, affine[j], affine[COLUMNS + j]), OutVec()); } // where ACTIVATE
          if (BOTH) { Z[pixel + j] = Stored(result); } // where BOTH
          Y[pixel + j] = Stored(select(result, value, BOTH));
          // where STATISTICS:
          let deviation = value - pivots[j].xyzw;
          first[j] += deviation;
          second[j] = fma(deviation, deviation, second[j]);
          // end
          // where GRADIENTS:
          let centred = OutVec(N[pixel + j]) - mean[j];
          var g = value;
          g *= dropoutMask(u32(pixel + j), STEP[0], STEP[1], STEP[3]).xyzw; // where DROPS
          if (RELU) {
            g = select(OutVec(), g, fma(centred, scale[j], beta[j]) > OutVec());
          }
          first[j] += g;
          second[j] = fma(g, centred, second[j]);
          // end
        }
      }
    }
  }
  // where QUADS:
  // where REDUCE:
  // All lanes of a subgroup get its sums; each stores those of a column.
  let member = i32(invocation) % LANES;
  var sums = array<vec4f, 2>(vec4f(first[0]), vec4f(second[0]));
  var pivot = pivots[0]; // where STATISTICS
  // unroll
  for (var j = 0; j < COLUMNS; j++) {
    first[j] += quadSwapX(first[j]);
    first[j] += quadSwapY(first[j]);
    second[j] += quadSwapX(second[j]);
    second[j] += quadSwapY(second[j]);
    sums[0] = select(sums[0], vec4f(first[j]), member == j);
    sums[1] = select(sums[1], vec4f(second[j]), member == j);
    pivot = select(pivot, pivots[j], member == j); // where STATISTICS
  }
  let begin = tile - member;
  let chunk = parityClass * CHUNKS + tile / LANES;
  let count = f32(pixelsBefore(min(begin + LANES, TILES)) - pixelsBefore(min(begin, TILES)));
  if ((member < COLUMNS) & (begin < TILES)) {
    // unroll
    for (var k = 0; k < OUT_WIDTH; k++) {
      let channel = (column + member) * OUT_WIDTH + k;
      // where STATISTICS:
      let shift = sums[0][k] / count;
      P[chunk * 3 * OUT_C + channel] = pivot[k] + shift;
      P[(chunk * 3 + 1) * OUT_C + channel] = max(sums[1][k] - sums[0][k] * shift, 0.0);
      P[(chunk * 3 + 2) * OUT_C + channel] = count;
      // end
      // where GRADIENTS:
      P[chunk * 2 * OUT_C + channel] = sums[0][k];
      P[(chunk * 2 + 1) * OUT_C + channel] = sums[1][k] * FIGURES[(3 * OUT_C + channel) / OUT_WIDTH][channel % OUT_WIDTH];
      // end
    }
  }
  // end
  // end
  // unless QUADS:
  // where REDUCE:
  // unroll
  for (var j = 0; j < COLUMNS; j++) {
    // unroll
    for (var k = 0; k < OUT_WIDTH; k++) {
      reduced[(i32(lane) * 2 * COLUMNS + j) * OUT_WIDTH + k] = vec4f(first[j])[k];
      reduced[((i32(lane) * 2 + 1) * COLUMNS + j) * OUT_WIDTH + k] = vec4f(second[j])[k];
    }
  }
  workgroupBarrier();
  // A lane to each channel, lanes in order.
  let chunk = parityClass * CHUNKS + i32(group.x);
  let channel = column * OUT_WIDTH + i32(lane);
  if (lane < COLUMNS * OUT_WIDTH) {
    var sums = vec2f();
    // A bound that the compiler cannot know: it would write the loop out, and software drivers take seconds over that.
    let lanes = select(WORKGROUP, 0, group.x == 0xffffffffu);
    // Software drivers would divide for `lane` in every turn.
    var at = i32(lane);
    for (var i = 0; i < lanes; i++) {
      sums += vec2f(reduced[at], reduced[at + COLUMNS * OUT_WIDTH]);
      at += 2 * COLUMNS * OUT_WIDTH;
    }
    // where STATISTICS:
    let begin = i32(group.x) * WORKGROUP;
    let count = f32(pixelsBefore(min(begin + WORKGROUP, TILES)) - pixelsBefore(begin));
    let shift = sums.x / count;
    P[chunk * 3 * OUT_C + channel] = pivots[i32(lane) / OUT_WIDTH][lane % OUT_WIDTH] + shift;
    P[(chunk * 3 + 1) * OUT_C + channel] = max(sums.y - sums.x * shift, 0.0);
    P[(chunk * 3 + 2) * OUT_C + channel] = count;
    // end
    // where GRADIENTS:
    P[chunk * 2 * OUT_C + channel] = sums.x;
    P[(chunk * 2 + 1) * OUT_C + channel] = sums.y * FIGURES[(3 * OUT_C + channel) / OUT_WIDTH][channel % OUT_WIDTH];
    // end
  }
  // end
  // end
}
