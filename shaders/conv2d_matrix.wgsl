enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// Convolution as implicit GEMM on a GPU's matrix units: forward and backward-data by the formulas of conv2d, with the same
// RESIDUAL, ACTIVATE, BOTH and REDUCE on store. Activations are float16; filters are rounded to it as they are read; sums are
// float32.
//
// GEMM: M = BATCH * GRID_H * GRID_W output pixels, N = OUT_C, K = KERNEL^2 * IN_C. A subgroup computes ROWS by COLUMNS matrices of
// HEIGHT pixels by WIDTH channels, a workgroup DOWN by ACROSS subgroups of it. For every tap, DEPTH input channels at a time
// are laid into `a`, a pixel's side by side, and their weights into `b`: an input channel's side by side in forward, an output
// channel's in backward-data, as the filter has them. In backward-data with stride S, workgroup_id.z picks one of S*S parity
// classes of output pixels, as in conv2d_tiled.
//
// Layouts: as in conv2d_tiled, with a chunk of P a workgroup of each column of the grid. The host guarantees that DEPTH divides
// IN_C, and ACROSS * COLUMNS * WIDTH OUT_C.
// include: pcg
// include: convolution_shape
// include: convolution_store
// include: matrix_shape
const PIXELS = BATCH * GRID_H * GRID_W;
const DEPTH_VECS = DEPTH / 4;
const GROUPS = 8; // pixels of a matrix that a subgroup stores at once, a lane a vector
const SCRATCH = 256; // vectors of workgroup memory for that: a matrix a subgroup, and two vectors a lane where REDUCE

@group(0) @binding(0) var<storage, read> X: array<vec4h>;
@group(0) @binding(1) var<storage, read> W: array<vec4f>;
@group(0) @binding(2) var<storage, read> R: array<vec4h>; // where RESIDUAL
@group(0) @binding(3) var<storage, read_write> Y: array<vec4h>;
@group(0) @binding(4) var<storage, read> AFFINE: array<vec4f>; // where ACTIVATE
@group(0) @binding(5) var<storage, read_write> Z: array<vec4h>; // where BOTH
@group(0) @binding(4) var<storage, read_write> P: array<vec4f>; // where REDUCE
@group(0) @binding(5) var<storage, read> N: array<vec4h>; // where GRADIENTS
@group(0) @binding(6) var<storage, read> FIGURES: array<vec4f>; // where GRADIENTS
@group(0) @binding(7) var<uniform> STEP: vec4u; // where DROPS

var<workgroup> a: array<vec4h, A_SIZE>;
var<workgroup> b: array<vec4h, B_SIZE>;
var<workgroup> scratch: array<vec4f, SCRATCH>;
var<workgroup> pivots: array<vec4f, TILE_VECS>; // where STATISTICS
// include: dropout_mask
// include: convolution_taps

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) own: u32,
) {
  let parity = vec2i(i32(group.z) % STRIDE, i32(group.z) / STRIDE);
  let rows = taps(parity.y);
  let columns = taps(parity.x);
  let across = i32(subgroup) % ACROSS;
  let down = i32(subgroup) / ACROSS;
  let firstPixel = i32(group.x) * TILE_ROWS;
  let firstVec = i32(group.y) * TILE_VECS;

  // What this invocation lays into `a`.
  var top = array<i32, A_UNITS>();
  var left = array<i32, A_UNITS>();
  var source = array<i32, A_UNITS>(); // under tap 0
  // unroll
  for (var n = 0; n < A_UNITS; n++) {
    let u = i32(lane) + n * WORKGROUP;
    let p = min(firstPixel + u / DEPTH_VECS, PIXELS - 1);
    top[n] = origin(p / GRID_W % GRID_H, parity.y);
    left[n] = origin(p % GRID_W, parity.x);
    source[n] = ((p / (GRID_W * GRID_H) * IN_H + top[n]) * IN_W + left[n]) * IN_VECS + u % DEPTH_VECS;
  }

  var sum: array<subgroup_matrix_result<f32, WIDTH, HEIGHT>, ROWS * COLUMNS>;
  for (var ty = 0; ty < rows.count; ty++) {
    for (var tx = 0; tx < columns.count; tx++) {
      let tap = (rows.first + ty * rows.step) * KERNEL + columns.first + tx * columns.step;
      let y = ty * rows.direction;
      let x = tx * columns.direction;
      for (var c = 0; c < IN_VECS; c += DEPTH_VECS) {
        workgroupBarrier();
        // unroll
        for (var n = 0; n < A_UNITS; n++) {
          let u = i32(lane) + n * WORKGROUP;
          if (A_WHOLE || u < TILE_ROWS * DEPTH_VECS) {
            let inside = (u32(top[n] + y) < IN_H) & (u32(left[n] + x) < IN_W);
            let at = source[n] + (y * IN_W + x) * IN_VECS + c;
            a[u / DEPTH_VECS * A_STRIDE + u % DEPTH_VECS] = select(vec4h(), X[select(0, at, inside)], inside);
          }
        }
        // unroll
        for (var n = 0; n < B_UNITS; n++) {
          let u = i32(lane) + n * WORKGROUP;
          if (B_WHOLE || u < TILE_VECS * DEPTH) {
            // unless BACKWARD:
            let k = u / TILE_VECS;
            let v = u % TILE_VECS;
            b[k * B_STRIDE + v] = vec4h(W[(tap * IN_C + c * 4 + k) * OUT_VECS + firstVec + v]);
            // end
            // where BACKWARD:
            let o = u / DEPTH_VECS;
            let k = u % DEPTH_VECS;
            b[o * B_STRIDE + k] = vec4h(W[(tap * OUT_C + firstVec * 4 + o) * IN_VECS + c + k]);
            // end
          }
        }
        workgroupBarrier();
        // unroll
        for (var k = 0; k < STEPS; k++) {
          var right: array<subgroup_matrix_right<f16, WIDTH, TERMS>, COLUMNS>;
          // unroll
          for (var j = 0; j < COLUMNS; j++) {
            let column = (across * COLUMNS + j) * WIDTH;
            right[j] = subgroupMatrixLoad<subgroup_matrix_right<f16, WIDTH, TERMS>, row_major>(&b, u32(k * TERMS * B_STRIDE + column / 4), u32(B_STRIDE)); // unless BACKWARD
            right[j] = subgroupMatrixLoad<subgroup_matrix_right<f16, WIDTH, TERMS>, col_major>(&b, u32(column * B_STRIDE + k * TERMS / 4), u32(B_STRIDE)); // where BACKWARD
          }
          // unroll
          for (var r = 0; r < ROWS; r++) {
            let left = subgroupMatrixLoad<subgroup_matrix_left<f16, TERMS, HEIGHT>, row_major>(&a, u32((down * ROWS + r) * HEIGHT * A_STRIDE + k * TERMS / 4), u32(A_STRIDE));
            // unroll
            for (var j = 0; j < COLUMNS; j++) {
              sum[r * COLUMNS + j] = subgroupMatrixMultiplyAccumulate(left, right[j], sum[r * COLUMNS + j]);
            }
          }
        }
      }
    }
  }

  // where REDUCE:
  var first = array<vec4f, COLUMNS>();
  var second = array<vec4f, COLUMNS>();
  var pivot = array<vec4f, COLUMNS>(); // where STATISTICS
  // end
  let vec = i32(own) % WIDTH_VECS;
  let place = i32(own) / WIDTH_VECS;
  let begin = i32(subgroup) * HEIGHT * WIDTH_VECS;
  // unroll
  for (var r = 0; r < ROWS; r++) {
    // unroll
    for (var j = 0; j < COLUMNS; j++) {
      let tileVec = (across * COLUMNS + j) * WIDTH_VECS + vec;
      let v = firstVec + tileVec;
      workgroupBarrier();
      subgroupMatrixStore<row_major>(&scratch, u32(begin), sum[r * COLUMNS + j], u32(WIDTH_VECS));
      workgroupBarrier();
      // where STATISTICS:
      // Deviations are from the workgroup's first value, which every workgroup has.
      if (r == 0) {
        if ((down == 0) & (place == 0)) {
          var value = scratch[begin + vec];
          value += vec4f(R[firstPixel * OUT_VECS + v]); // where RESIDUAL
          pivots[tileVec] = value;
        }
        workgroupBarrier();
        pivot[j] = pivots[tileVec];
      }
      // end
      for (var row = place; row < HEIGHT; row += GROUPS) {
        let p = firstPixel + (down * ROWS + r) * HEIGHT + row;
        let outY = spread(p / GRID_W % GRID_H, parity.y);
        let outX = spread(p % GRID_W, parity.x);
        if ((place < GROUPS) & (p < PIXELS) & (outY < OUT_H) & (outX < OUT_W)) {
          let at = (((p / (GRID_W * GRID_H)) * OUT_H + outY) * OUT_W + outX) * OUT_VECS + v;
          var value = scratch[begin + row * WIDTH_VECS + vec];
          value += vec4f(R[at]); // where RESIDUAL
          var result = value;
          result = max(fma(value, AFFINE[v], AFFINE[OUT_VECS + v]), vec4f()); // where ACTIVATE
          Z[at] = vec4h(result); // where BOTH
          Y[at] = vec4h(select(result, value, BOTH));
          // where STATISTICS:
          let deviation = value - pivot[j];
          first[j] += deviation;
          second[j] = fma(deviation, deviation, second[j]);
          // end
          // where GRADIENTS:
          let centred = vec4f(N[at]) - FIGURES[v];
          var g = value;
          g *= dropoutMask(u32(at), STEP[0], STEP[1]); // where DROPS
          if (RELU) {
            g = select(vec4f(), g, fma(centred, FIGURES[OUT_VECS + v], FIGURES[2 * OUT_VECS + v]) > vec4f());
          }
          first[j] += g;
          second[j] = fma(g, centred, second[j]);
          // end
        }
      }
    }
  }
  // where REDUCE:
  let chunk = i32(group.z) * ((PIXELS + TILE_ROWS - 1) / TILE_ROWS) + i32(group.x);
  // unroll
  for (var j = 0; j < COLUMNS; j++) {
    workgroupBarrier();
    let lay = i32(subgroup) * LANES + i32(own);
    scratch[lay] = first[j];
    scratch[WORKGROUP + lay] = second[j];
    workgroupBarrier();
    // A lane to each vector of channels, lanes in order.
    if ((down == 0) & (place == 0)) {
      var sums = vec4f();
      var products = vec4f();
      for (var i = 0; i < DOWN * GROUPS; i++) {
        let at = (i / GROUPS * ACROSS + across) * LANES + i % GROUPS * WIDTH_VECS + vec;
        sums += scratch[at];
        products += scratch[WORKGROUP + at];
      }
      let v = firstVec + (across * COLUMNS + j) * WIDTH_VECS + vec;
      // where STATISTICS:
      let count = f32(min(firstPixel + TILE_ROWS, PIXELS) - firstPixel);
      let shift = sums / count;
      P[chunk * 3 * OUT_VECS + v] = pivot[j] + shift;
      P[(chunk * 3 + 1) * OUT_VECS + v] = max(products - sums * shift, vec4f());
      P[(chunk * 3 + 2) * OUT_VECS + v] = vec4f(count);
      // end
      // where GRADIENTS:
      P[chunk * 2 * OUT_VECS + v] = sums;
      P[(chunk * 2 + 1) * OUT_VECS + v] = products * FIGURES[3 * OUT_VECS + v];
      // end
    }
  }
  // end
}
