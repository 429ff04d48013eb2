enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// Convolution, backward-weights, as a GEMM with split-K on a GPU's matrix units: phase one of two (sum_leading adds the
// splits), by the formula of conv2d_backward_weights. Input and gradient are float16, sums float32.
//
// GEMM: M = KERNEL^2 * IN_C filter rows, N = OUT_C, K = BATCH * OUT_H * OUT_W pixels, DEPTH at a time; each of SPLITS takes as
// many, in units of 32 whatever DEPTH is. Matrices as in conv2d_matrix: of DEPTH pixels side by side, `a` holds the inputs of
// each filter row, and `b` the gradients of each output channel, both transposed in blocks of 4 by 4.
//
// Layouts: X (input), D (gradient of the output) are NHWC, P is [split, ky, kx, ci, co]. The host guarantees that HEIGHT divides
// IN_C, ACROSS * COLUMNS * WIDTH OUT_C, and DEPTH / 4 WORKGROUP.
// include: convolution_shape
const SPLITS = 1;
// include: matrix_shape
const PIXELS = BATCH * OUT_H * OUT_W;
const FILTER_ROWS = KERNEL * KERNEL * IN_C;
const TILE_QUADS = TILE_ROWS / 4;
const WHOLE = PIXELS % DEPTH == 0; // every chunk
const ONE_ROW = OUT_W % 4 == 0; // four pixels of one
const CHUNKS = (PIXELS + DEPTH - 1) / DEPTH;
const CHUNKS_PER_SPLIT = ((PIXELS + 31) / 32 + SPLITS - 1) / SPLITS * (32 / DEPTH);

@group(0) @binding(0) var<storage, read> X: array<vec4h>;
@group(0) @binding(1) var<storage, read> D: array<vec4h>;
@group(0) @binding(2) var<storage, read_write> P: array<vec4f>;

var<workgroup> a: array<vec4h, A_SIZE>;
var<workgroup> b: array<vec4h, B_SIZE>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  let across = subgroup % ACROSS;
  let down = subgroup / ACROSS % DOWN;
  let firstRow = group.x * TILE_ROWS;
  let firstVec = group.y * TILE_VECS;
  let split = group.z;

  // What this invocation lays into `a`: of four pixels, four channels each under one tap.
  let pixels = lane % DEPTH_VECS;
  var y = array<i32, A_UNITS>();
  var x = array<i32, A_UNITS>();
  var source = array<i32, A_UNITS>();
  // unroll
  for (var n = 0; n < A_UNITS; n++) {
    let quad = min(firstRow / 4 + (lane + n * WORKGROUP) / DEPTH_VECS, FILTER_ROWS / 4 - 1);
    let tap = quad / IN_VECS;
    y[n] = i32(tap / KERNEL) - PADDING;
    x[n] = i32(tap % KERNEL) - PADDING;
    source[n] = (y[n] * IN_W + x[n]) * IN_VECS + i32(quad % IN_VECS);
  }

  var sum: array<subgroup_matrix_result<f32, WIDTH, HEIGHT>, ROWS * COLUMNS>;
  // unroll
  for (var i = 0; i < ROWS * COLUMNS; i++) {
    sum[i] = subgroup_matrix_result<f32, WIDTH, HEIGHT>(0);
  }
  let end = min((split + 1) * CHUNKS_PER_SPLIT, CHUNKS);
  for (var chunk = split * CHUNKS_PER_SPLIT; chunk < end; chunk++) {
    let p = chunk * DEPTH + pixels * 4;
    workgroupBarrier();
    // unroll
    for (var n = 0; n < A_UNITS; n++) {
      let u = lane + n * WORKGROUP;
      if (A_WHOLE || u < TILE_QUADS * DEPTH_VECS) {
        var block = mat4x4h();
        // unroll
        for (var i = 0; i < 4; i++) {
          let first = p + select(i, 0, ONE_ROW);
          let top = i32(first / OUT_W % OUT_H * STRIDE);
          let left = i32((first % OUT_W + select(0, i, ONE_ROW)) * STRIDE);
          let inside = (WHOLE || p + i < PIXELS) & (u32(top + y[n]) < IN_H) & (u32(left + x[n]) < IN_W);
          let at = ((i32(first / (OUT_W * OUT_H)) * IN_H + top) * IN_W + left) * IN_VECS + source[n];
          block[i] = bitcast<vec4h>(select(vec2u(), bitcast<vec2u>(X[select(0, at, inside)]), inside));
        }
        block = transpose(block);
        // unroll
        for (var i = 0; i < 4; i++) {
          a[(u / DEPTH_VECS * 4 + i) * LINE + pixels] = block[i];
        }
      }
    }
    // unroll
    for (var n = 0; n < B_UNITS; n++) {
      let u = lane + n * WORKGROUP;
      if (B_WHOLE || u < TILE_VECS * DEPTH_VECS) {
        let v = u / DEPTH_VECS;
        var block = mat4x4h();
        // unroll
        for (var i = 0; i < 4; i++) {
          let inside = WHOLE || p + i < PIXELS;
          block[i] = bitcast<vec4h>(select(vec2u(), bitcast<vec2u>(D[select(0, (p + i) * OUT_VECS + firstVec + v, inside)]), inside));
        }
        block = transpose(block);
        // unroll
        for (var i = 0; i < 4; i++) {
          b[(v * 4 + i) * LINE + pixels] = block[i];
        }
      }
    }
    workgroupBarrier();
    // include: matrix_products
  }

  // unroll
  for (var r = 0; r < ROWS; r++) {
    let row = firstRow + (down * ROWS + r) * HEIGHT;
    if (row < FILTER_ROWS) {
      // unroll
      for (var j = 0; j < COLUMNS; j++) {
        let v = firstVec + (across * COLUMNS + j) * WIDTH_VECS;
        subgroupMatrixStore<row_major>(&P, (split * FILTER_ROWS + row) * OUT_VECS + v, sum[r * COLUMNS + j], OUT_VECS);
      }
    }
  }
}
