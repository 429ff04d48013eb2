enable subgroups; // where SUBGROUPS
// Convolution as implicit GEMM, forward and backward-data.
//
//   forward        Y[n, y, x, co] = sum_{ky, kx, ci} X[n, y*S - P + ky, x*S - P + kx, ci] * W[ky, kx, ci, co]
//   backward-data  Y[n, y, x, co] = sum_{ky, kx, ci} X[n, (y + P - ky)/S, (x + P - kx)/S, ci] * W[ky, kx, ci, co]
//                  over the taps for which the divisions are exact; X is the gradient of the convolution's output and
//                  W its filter with the channels transposed.
//   both           + R[n, y, x, co] where RESIDUAL
//
// GEMM: M = BATCH * GRID_H * GRID_W output pixels, N = OUT_C, K = KERNEL^2 * IN_C. Nothing is unrolled in memory.
// An invocation computes PIXELS x COLUMNS vectors in registers, of PIXELS adjacent pixels of a row: for each filter row it
// reads a WINDOW of input pixels once, and each of them serves all taps that it falls under. Lanes of a workgroup need W
// at one address. Where SUBGROUPS (of LANES or more), each lane reads another vector and all get it by broadcast: on a CPU
// every lane's load costs, and a load at one address costs as much as at many. Else a uniform buffer serves that best.
// 64 KiB is the limit of one, so a larger filter comes in PARTS = KERNEL rows, bound apart, and one larger still stays in
// a storage buffer. In backward-data with stride S, workgroup_id.z picks one of S*S parity classes of output
// pixels; each class has its own taps, so no multiplication by zero is made.
//
// Where ACTIVATE, the batch norm and ReLU that follow in evaluation are done on store: with v the value above,
// max(0, v * AFFINE[0, co] + AFFINE[1, co]) goes to Y; or, where BOTH, to Z, and v itself to Y.
//
// Layouts: X, Y, R are NHWC, W is [ky, kx, ci, co]. InVec is vec4f where IN_C is a multiple of 4, else f32; OutVec
// likewise for OUT_C. The host guarantees COLUMNS divides OUT_C / width(OutVec), binds W as R where not RESIDUAL, and
// gives TAPS = ceil(KERNEL / S) in backward-data, KERNEL in forward, and WINDOW, the input pixels under PIXELS.
alias InVec = vec4f;
alias OutVec = vec4f;
const IN_WIDTH = 4;   // channels in an InVec
const OUT_WIDTH = 4;  // channels in an OutVec
const BATCH = 1;
const IN_H = 8;
const IN_W = 8;
const IN_C = 4;
const OUT_H = 8;
const OUT_W = 8;
const OUT_C = 4;
const GRID_H = 8;     // pixels of one parity class: ceil(OUT_H / S) in backward-data, OUT_H in forward
const GRID_W = 8;
const KERNEL = 3;
const STRIDE = 1;
const PADDING = 1;
const PARTS = 1;
const BACKWARD = false;
const RESIDUAL = false;
const ACTIVATE = true;
const BOTH = true;
const PIXELS = 4;
const BLOCK = 2;
const BLOCKS = 2;     // PIXELS / BLOCK
const TAPS = 3;
const WINDOW = 6;
const HELD = 2;       // ceil(TAPS * IN_WIDTH * COLUMNS / LANES)
const SUBGROUPS = false;
const LANES = 8;
const COLUMNS = 1;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<InVec>;
@group(0) @binding(1) var<storage, read> W0: array<OutVec>;
@group(0) @binding(2) var<storage, read> W1: array<OutVec>;
@group(0) @binding(3) var<storage, read> W2: array<OutVec>;
@group(0) @binding(4) var<storage, read> R: array<OutVec>;
@group(0) @binding(5) var<storage, read_write> Y: array<OutVec>;
@group(0) @binding(6) var<storage, read> AFFINE: array<OutVec>; // where ACTIVATE
@group(0) @binding(7) var<storage, read_write> Z: array<OutVec>; // where BOTH

fn weightAt(part: i32, i: i32) -> OutVec {
  switch (part) {
    case 1: {
      return W1[i];
    }
    case 2: {
      return W2[i];
    }
    default: {
      return W0[i];
    }
  }
}

// Where the vectors of a tap and an input channel begin.
fn weightsOf(tap: i32, ci: i32) -> i32 {
  return (tap * IN_C + ci) * (OUT_C / OUT_WIDTH);
}

// Where a row (or column) of the output takes its input from: tap t of `count` reads filter row first + t * step at
// input position origin + t * direction.
struct Taps { first: i32, step: i32, count: i32, direction: i32 }

fn taps(parity: i32) -> Taps {
  if (BACKWARD) {
    let first = (parity + PADDING) % STRIDE;
    return Taps(first, STRIDE, max(0, (KERNEL - first + STRIDE - 1) / STRIDE), -1);
  }
  return Taps(0, 1, KERNEL, 1);
}

fn origin(position: i32, parity: i32) -> i32 {
  if (BACKWARD) {
    return position + (parity + PADDING) / STRIDE;
  }
  return position * STRIDE - PADDING;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_invocation_id) invocation: u32, // where SUBGROUPS
) {
  const IN_VECS = IN_C / IN_WIDTH;
  const OUT_VECS = OUT_C / OUT_WIDTH;
  var member = 0;
  member = i32(invocation) % LANES; // where SUBGROUPS
  const TILES_W = (GRID_W + PIXELS - 1) / PIXELS;
  const TILES = BATCH * GRID_H * TILES_W;
  let parity = vec2i(i32(group.z) % STRIDE, i32(group.z) / STRIDE);
  let rows = taps(parity.y);
  let columns = taps(parity.x);
  let column = i32(group.y) * COLUMNS;

  let tile = i32(group.x) * WORKGROUP + i32(lane);
  let at = min(tile, TILES - 1);
  let gridX = (at % TILES_W) * PIXELS;
  let gridY = (at / TILES_W) % GRID_H;
  let image = at / (TILES_W * GRID_H);
  // The window's first pixel: in backward-data the taps run against it.
  let left = origin(gridX, parity.x) - select(0, TAPS - 1, BACKWARD);
  let top = origin(gridY, parity.y);

  var sum = array<OutVec, PIXELS * COLUMNS>();
  // unroll
  for (var part = 0; part < PARTS; part++) {
    for (var ty = 0; ty < rows.count; ty++) {
      let ky = rows.first + ty * rows.step;
      if (PARTS > 1 && ky != part) {
        continue;
      }
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
          if (BACKWARD || KERNEL > 1 || i % STRIDE == 0) {
            let inside = insideY && left + i >= 0 && left + i < IN_W;
            x[i] = select(vec4f(), vec4f(X[(row + clamp(left + i, 0, IN_W - 1)) * IN_VECS + c]), inside);
          }
        }
        // The weights of this row and these channels, in order of tap, channel, column: each lane holds one in LANES.
        var held = array<OutVec, HELD>();
        // unroll
        for (var h = 0; h < HELD; h++) {
          let v = h * LANES + member;
          let tx = min(v / (IN_WIDTH * COLUMNS), TAPS - 1);
          let k = (v / COLUMNS) % IN_WIDTH;
          held[h] = weightAt(part, weightsOf(filterRow + columns.first + tx * columns.step, c * IN_WIDTH + k) + column + v % COLUMNS); // where SUBGROUPS
        }
        // Few accumulators at a time, over all taps: so more of them stay in registers.
        // unroll
        for (var j = 0; j < COLUMNS; j++) {
          // unroll
          for (var b = 0; b < BLOCKS; b++) {
            var value = array<OutVec, BLOCK>();
            // unroll
            for (var tx = 0; tx < TAPS; tx++) {
              if (!BACKWARD || tx < columns.count) {
                let tap = filterRow + columns.first + tx * columns.step;
                // unroll
                for (var k = 0; k < IN_WIDTH; k++) {
                  var weight: OutVec;
                  weight = weightAt(part, weightsOf(tap, c * IN_WIDTH + k) + column + j); // unless SUBGROUPS
                  weight = subgroupBroadcast(held[((tx * IN_WIDTH + k) * COLUMNS + j) / LANES], ((tx * IN_WIDTH + k) * COLUMNS + j) % LANES); // where SUBGROUPS
                  // unroll
                  for (var q = 0; q < BLOCK; q++) {
                    let at = select((b * BLOCK + q) * STRIDE + tx, b * BLOCK + q + TAPS - 1 - tx, BACKWARD);
                    value[q] = fma(OutVec(x[at][k]), weight, value[q]);
                  }
                }
              }
            }
            // unroll
            for (var q = 0; q < BLOCK; q++) {
              partial[(b * BLOCK + q) * COLUMNS + j] += value[q];
            }
          }
        }
      }
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

  let outY = select(gridY, gridY * STRIDE + parity.y, BACKWARD);
  if (tile < TILES && outY < OUT_H) {
    // unroll
    for (var p = 0; p < PIXELS; p++) {
      let outX = select(gridX + p, (gridX + p) * STRIDE + parity.x, BACKWARD);
      if (gridX + p < GRID_W && outX < OUT_W) {
        let pixel = ((image * OUT_H + outY) * OUT_W + outX) * OUT_VECS + column;
        // unroll
        for (var j = 0; j < COLUMNS; j++) {
          var value = sum[p * COLUMNS + j];
          if (RESIDUAL) {
            value += R[pixel + j];
          }
          var result = value;
          if (ACTIVATE) { result = max(fma(value, affine[j], affine[COLUMNS + j]), OutVec()); } // where ACTIVATE
          if (BOTH) { Z[pixel + j] = result; } // where BOTH
          Y[pixel + j] = select(result, value, BOTH);
        }
      }
    }
  }
}
