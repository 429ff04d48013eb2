// Convolution as implicit GEMM, forward and backward-data.
//
//   forward        Y[n, y, x, co] = sum_{ky, kx, ci} X[n, y*S - P + ky, x*S - P + kx, ci] * W[ky, kx, ci, co]
//   backward-data  Y[n, y, x, co] = sum_{ky, kx, ci} X[n, (y + P - ky)/S, (x + P - kx)/S, ci] * W[ky, kx, ci, co]
//                  over the taps for which the divisions are exact; X is the gradient of the convolution's output and
//                  W its filter with the channels transposed.
//   both           + R[n, y, x, co] where RESIDUAL
//
// GEMM: M = BATCH * GRID_H * GRID_W output pixels, N = OUT_C, K = KERNEL^2 * IN_C. Nothing is unrolled in memory.
// An invocation computes PIXELS x COLUMNS vectors in registers. Lanes of a workgroup are adjacent pixels, so W is read
// at one address by all of them: a uniform buffer serves that best (lavapipe reads it once for all lanes, and a storage
// buffer once for each). 64 KiB is the limit of one, so a larger filter comes in PARTS = KERNEL rows, bound apart, and
// one larger still stays in a storage buffer. In backward-data with stride S, workgroup_id.z picks one of S*S parity classes of
// output pixels; each class has its own taps, so no multiplication by zero is made.
//
// Layouts: X, Y, R are NHWC, W is [ky, kx, ci, co]. InVec is vec4f where IN_C is a multiple of 4, else f32; OutVec
// likewise for OUT_C. The host guarantees COLUMNS divides OUT_C / width(OutVec), and binds W as R where not RESIDUAL.
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
const PIXELS = 4;
const COLUMNS = 1;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<InVec>;
@group(0) @binding(1) var<storage, read> W0: array<OutVec>;
@group(0) @binding(2) var<storage, read> W1: array<OutVec>;
@group(0) @binding(3) var<storage, read> W2: array<OutVec>;
@group(0) @binding(4) var<storage, read> R: array<OutVec>;
@group(0) @binding(5) var<storage, read_write> Y: array<OutVec>;

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
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  const IN_VECS = IN_C / IN_WIDTH;
  const OUT_VECS = OUT_C / OUT_WIDTH;
  const TOTAL = BATCH * GRID_H * GRID_W;
  let parity = vec2i(i32(group.z) % STRIDE, i32(group.z) / STRIDE);
  let rows = taps(parity.y);
  let columns = taps(parity.x);
  let column = i32(group.y) * COLUMNS;

  var image: array<i32, PIXELS>;
  var gridY: array<i32, PIXELS>;
  var gridX: array<i32, PIXELS>;
  // unroll
  for (var p = 0; p < PIXELS; p++) {
    let q = min((i32(group.x) * PIXELS + p) * WORKGROUP + i32(lane), TOTAL - 1);
    gridX[p] = q % GRID_W;
    gridY[p] = (q / GRID_W) % GRID_H;
    image[p] = q / (GRID_W * GRID_H);
  }

  var sum: array<OutVec, PIXELS * COLUMNS>;
  // unroll
  for (var part = 0; part < PARTS; part++) {
    for (var ty = 0; ty < rows.count; ty++) {
      let ky = rows.first + ty * rows.step;
      if (PARTS > 1 && ky != part) {
        continue;
      }
      for (var tx = 0; tx < columns.count; tx++) {
        let kx = columns.first + tx * columns.step;
        var base: array<i32, PIXELS>;
        var inside: array<bool, PIXELS>;
        // unroll
        for (var p = 0; p < PIXELS; p++) {
          let y = origin(gridY[p], parity.y) + ty * rows.direction;
          let x = origin(gridX[p], parity.x) + tx * columns.direction;
          inside[p] = y >= 0 && y < IN_H && x >= 0 && x < IN_W;
          base[p] = select(0, ((image[p] * IN_H + y) * IN_W + x) * IN_VECS, inside[p]);
        }
        var w = ((ky % (KERNEL / PARTS)) * KERNEL + kx) * IN_C * OUT_VECS + column;
        // A sum for each tap, then a sum of taps: shorter chains of additions lose fewer bits.
        var tap = array<OutVec, PIXELS * COLUMNS>();
        for (var c = 0; c < IN_VECS; c++) {
          var x: array<vec4f, PIXELS>;
          // unroll
          for (var p = 0; p < PIXELS; p++) {
            x[p] = select(vec4f(), vec4f(X[base[p] + c]), inside[p]);
          }
          // unroll
          for (var k = 0; k < IN_WIDTH; k++) {
            // unroll
            for (var j = 0; j < COLUMNS; j++) {
              let weight = weightAt(part, w + k * OUT_VECS + j);
              // unroll
              for (var p = 0; p < PIXELS; p++) {
                tap[p * COLUMNS + j] = fma(OutVec(x[p][k]), weight, tap[p * COLUMNS + j]);
              }
            }
          }
          w += IN_WIDTH * OUT_VECS;
        }
        // unroll
        for (var i = 0; i < PIXELS * COLUMNS; i++) {
          sum[i] += tap[i];
        }
      }
    }
  }

  // unroll
  for (var p = 0; p < PIXELS; p++) {
    let y = select(gridY[p], gridY[p] * STRIDE + parity.y, BACKWARD);
    let x = select(gridX[p], gridX[p] * STRIDE + parity.x, BACKWARD);
    if ((i32(group.x) * PIXELS + p) * WORKGROUP + i32(lane) < TOTAL && y < OUT_H && x < OUT_W) {
      let at = ((image[p] * OUT_H + y) * OUT_W + x) * OUT_VECS + column;
      // unroll
      for (var j = 0; j < COLUMNS; j++) {
        var value = sum[p * COLUMNS + j];
        if (RESIDUAL) {
          value += R[at + j];
        }
        Y[at + j] = value;
      }
    }
  }
}
