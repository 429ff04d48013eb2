enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// Convolution as implicit GEMM on a GPU's matrix units: forward and backward-data by the formulas of conv2d, with the same
// RESIDUAL, ACTIVATE, BOTH and REDUCE on store. Activations are float16; filters are rounded to it as they are read; sums are
// float32.
//
// GEMM: M = BATCH * GRID_H * GRID_W output pixels, N = OUT_C, K = KERNEL^2 * IN_C. A subgroup computes ROWS by COLUMNS matrices of
// HEIGHT pixels by WIDTH channels, a workgroup DOWN by ACROSS subgroups of it. For every tap, DEPTH input channels at a time
// are laid into `a`, a pixel's side by side, and their weights into `b`, an output channel's side by side: so lanes hold a row
// of the left matrices, and a column of the right ones, on GPUs that can read no others at once. Backward-data's filter lies so;
// forward transposes blocks of 4 by 4. In backward-data with stride S, workgroup_id.z picks one of S*S parity classes of output
// pixels, as in conv2d_tiled.
//
// Layouts: as in conv2d_tiled, with a chunk of P a workgroup of each column of the grid. The host guarantees that DEPTH divides
// IN_C, and ACROSS * COLUMNS * WIDTH OUT_C.
// include: pcg
// include: convolution_shape
// include: convolution_store
// include: matrix_shape
const PIXELS = BATCH * GRID_H * GRID_W;
const WHOLE = PIXELS % TILE_ROWS == 0; // every workgroup
const GROUPS = 8; // pixels of a matrix that a subgroup stores at once, a lane a vector
const ROUNDS = 2; // HEIGHT / GROUPS
const SCRATCH = 256; // vectors of workgroup memory for that: a matrix a subgroup

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
  // The second remainder changes nothing, but bounds what is read of workgroup memory: else that is checked on every load.
  let across = subgroup % ACROSS;
  let down = subgroup / ACROSS % DOWN;
  let firstPixel = group.x * TILE_ROWS;
  let firstVec = group.y * TILE_VECS;

  // What this invocation lays into `a`.
  var top = array<i32, A_UNITS>();
  var left = array<i32, A_UNITS>();
  var source = array<i32, A_UNITS>(); // under tap 0
  // unroll
  for (var n = 0; n < A_UNITS; n++) {
    let u = lane + n * WORKGROUP;
    let p = min(firstPixel + u / DEPTH_VECS, PIXELS - 1);
    top[n] = origin(i32(p / GRID_W % GRID_H), parity.y);
    left[n] = origin(i32(p % GRID_W), parity.x);
    source[n] = ((i32(p / (GRID_W * GRID_H)) * IN_H + top[n]) * IN_W + left[n]) * IN_VECS + i32(u % DEPTH_VECS);
  }

  var sum: array<subgroup_matrix_result<f32, WIDTH, HEIGHT>, ROWS * COLUMNS>;
  // Mesa's RADV starts an array of matrices with anything where it has no other value.
  // unroll
  for (var i = 0; i < ROWS * COLUMNS; i++) {
    sum[i] = subgroup_matrix_result<f32, WIDTH, HEIGHT>(0);
  }
  for (var ty = 0; ty < rows.count; ty++) {
    for (var tx = 0; tx < columns.count; tx++) {
      let tap = (rows.first + ty * rows.step) * KERNEL + columns.first + tx * columns.step;
      let y = ty * rows.direction;
      let x = tx * columns.direction;
      for (var c = 0; c < IN_VECS; c += DEPTH_VECS) {
        workgroupBarrier();
        // unroll
        for (var n = 0; n < A_UNITS; n++) {
          let u = lane + n * WORKGROUP;
          if (A_WHOLE || u < TILE_ROWS * DEPTH_VECS) {
            let inside = (u32(top[n] + y) < IN_H) & (u32(left[n] + x) < IN_W);
            let at = source[n] + (y * IN_W + x) * IN_VECS + c;
            a[u / DEPTH_VECS * LINE + u % DEPTH_VECS] = bitcast<vec4h>(select(vec2u(), bitcast<vec2u>(X[select(0, at, inside)]), inside));
          }
        }
        // unroll
        for (var n = 0; n < B_UNITS; n++) {
          let u = lane + n * WORKGROUP;
          let k = u % DEPTH_VECS;
          // unless BACKWARD:
          if (B_WHOLE || u < TILE_VECS * DEPTH_VECS) {
            let v = u / DEPTH_VECS;
            let at = (u32(tap * IN_C + c * 4) + k * 4) * OUT_VECS + firstVec + v;
            var block = mat4x4h();
            // unroll
            for (var i = 0; i < 4; i++) {
              block[i] = vec4h(W[at + i * OUT_VECS]);
            }
            block = transpose(block);
            // unroll
            for (var i = 0; i < 4; i++) {
              b[(v * 4 + i) * LINE + k] = block[i];
            }
          }
          // end
          // where BACKWARD:
          if (B_WHOLE || u < TILE_VECS * DEPTH) {
            let o = u / DEPTH_VECS;
            b[o * LINE + k] = vec4h(W[(u32(tap * OUT_C) + firstVec * 4 + o) * IN_VECS + u32(c) + k]);
          }
          // end
        }
        workgroupBarrier();
        // include: matrix_products
      }
    }
  }

  // where REDUCE:
  var first = array<vec4f, COLUMNS>();
  var second = array<vec4f, COLUMNS>();
  var pivot = array<vec4f, COLUMNS>(); // where STATISTICS
  // end
  let vec = own % WIDTH_VECS;
  let place = own / WIDTH_VECS;
  let begin = (down * ACROSS + across) * HEIGHT * WIDTH_VECS;
  let tileVec = across * COLUMNS * WIDTH_VECS + vec;
  var pixel = array<u32, ROWS * ROUNDS>();
  var inside = array<bool, ROWS * ROUNDS>();
  // What is read for all matrices is asked for before anything has to wait.
  var residual = array<vec4h, ROWS * ROUNDS * COLUMNS>(); // where RESIDUAL
  var normed = array<vec4h, ROWS * ROUNDS * COLUMNS>(); // where GRADIENTS
  // unroll
  for (var r = 0; r < ROWS; r++) {
    // unroll
    for (var i = 0; i < ROUNDS; i++) {
      let p = firstPixel + (down * ROWS + r) * HEIGHT + i * GROUPS + place;
      pixel[r * ROUNDS + i] = p;
      inside[r * ROUNDS + i] = (place < GROUPS) & (WHOLE || p < PIXELS);
      if (BACKWARD && STRIDE > 1) {
        let y = u32(spread(i32(p / GRID_W % GRID_H), parity.y));
        let x = u32(spread(i32(p % GRID_W), parity.x));
        pixel[r * ROUNDS + i] = (p / (GRID_W * GRID_H) * OUT_H + y) * OUT_W + x;
        inside[r * ROUNDS + i] = inside[r * ROUNDS + i] & (y < OUT_H) & (x < OUT_W);
      }
      // unroll
      for (var j = 0; j < COLUMNS; j++) {
        let at = select(0, pixel[r * ROUNDS + i] * OUT_VECS + firstVec + tileVec + j * WIDTH_VECS, inside[r * ROUNDS + i]);
        residual[(r * ROUNDS + i) * COLUMNS + j] = R[at]; // where RESIDUAL
        normed[(r * ROUNDS + i) * COLUMNS + j] = N[at]; // where GRADIENTS
      }
    }
  }
  // unroll
  for (var r = 0; r < ROWS; r++) {
    // unroll
    for (var j = 0; j < COLUMNS; j++) {
      let v = firstVec + tileVec + j * WIDTH_VECS;
      workgroupBarrier();
      subgroupMatrixStore<row_major>(&scratch, begin, sum[r * COLUMNS + j], WIDTH_VECS);
      workgroupBarrier();
      // where STATISTICS:
      // Deviations are from the workgroup's first value, which every workgroup has.
      if (r == 0) {
        if ((down == 0) & (place == 0)) {
          var value = scratch[begin + vec];
          value += vec4f(residual[j]); // where RESIDUAL
          pivots[tileVec + j * WIDTH_VECS] = value;
        }
        workgroupBarrier();
        pivot[j] = pivots[tileVec + j * WIDTH_VECS];
      }
      // end
      // unroll
      for (var i = 0; i < ROUNDS; i++) {
        if (inside[r * ROUNDS + i]) {
          let at = pixel[r * ROUNDS + i] * OUT_VECS + v;
          var value = scratch[begin + (i * GROUPS + place) * WIDTH_VECS + vec];
          value += vec4f(residual[(r * ROUNDS + i) * COLUMNS + j]); // where RESIDUAL
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
          let centred = vec4f(normed[(r * ROUNDS + i) * COLUMNS + j]) - FIGURES[v];
          var g = value;
          g *= dropoutMask(at, STEP[0], STEP[1], STEP[3]); // where DROPS
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
  workgroupBarrier();
  // unroll
  for (var j = 0; j < COLUMNS; j++) {
    for (var mask = u32(WIDTH_VECS); mask < LANES; mask *= 2) {
      first[j] += subgroupShuffleXor(first[j], mask);
      second[j] += subgroupShuffleXor(second[j], mask);
    }
    if (place == 0) {
      let lay = 2 * (down * TILE_VECS + tileVec + j * WIDTH_VECS);
      scratch[lay] = first[j];
      scratch[lay + 1] = second[j];
    }
  }
  workgroupBarrier();
  // An invocation to each vector of channels, subgroups in order.
  if (lane < TILE_VECS) {
    var sums = vec4f();
    var products = vec4f();
    for (var i = 0u; i < DOWN; i++) {
      sums += scratch[2 * (i * TILE_VECS + lane)];
      products += scratch[2 * (i * TILE_VECS + lane) + 1];
    }
    let chunk = group.z * ((PIXELS + TILE_ROWS - 1) / TILE_ROWS) + group.x;
    let v = firstVec + lane;
    let pivot = pivots[lane]; // where STATISTICS
    let count = f32(min(firstPixel + TILE_ROWS, PIXELS) - firstPixel); // where STATISTICS
    // include: convolution_partials
  }
  // end
}
