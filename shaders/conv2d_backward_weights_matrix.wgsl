enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// Convolution, backward-weights, as a GEMM with split-K on a GPU's matrix units: phase one of two (sum_leading adds the
// splits), by the formula of conv2d_backward_weights. Input and gradient are float16, sums float32.
//
// GEMM: M = KERNEL^2 * IN_C filter rows, N = OUT_C, K = BATCH * OUT_H * OUT_W pixels, DEPTH at a time; each of SPLITS takes as
// many, in units of 32 whatever DEPTH is. Matrices as in conv2d_matrix: `a` holds the filter rows' inputs of a pixel side by side, and `b` its gradients.
//
// Layouts: X (input), D (gradient of the output) are NHWC, P is [split, ky, kx, ci, co]. The host guarantees that HEIGHT divides
// IN_C, ACROSS * COLUMNS * WIDTH OUT_C, and TILE_ROWS / 4 WORKGROUP.
// include: convolution_shape
const SPLITS = 1;
// include: matrix_shape
const PIXELS = BATCH * OUT_H * OUT_W;
const FILTER_ROWS = KERNEL * KERNEL * IN_C;
const TILE_QUADS = TILE_ROWS / 4;
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
  let across = i32(subgroup) % ACROSS;
  let down = i32(subgroup) / ACROSS;
  let firstRow = i32(group.x) * TILE_ROWS;
  let firstVec = i32(group.y) * TILE_VECS;
  let split = i32(group.z);

  // What this invocation lays into `a`: four channels under one tap.
  let quad = min(firstRow / 4 + i32(lane) % TILE_QUADS, FILTER_ROWS / 4 - 1);
  let tap = quad / IN_VECS;
  let y = tap / KERNEL - PADDING;
  let x = tap % KERNEL - PADDING;
  let c = quad % IN_VECS;

  var sum: array<subgroup_matrix_result<f32, WIDTH, HEIGHT>, ROWS * COLUMNS>;
  let end = min((split + 1) * CHUNKS_PER_SPLIT, CHUNKS);
  for (var chunk = split * CHUNKS_PER_SPLIT; chunk < end; chunk++) {
    workgroupBarrier();
    // unroll
    for (var n = 0; n < A_UNITS; n++) {
      let k = (i32(lane) + n * WORKGROUP) / TILE_QUADS;
      if (A_WHOLE || k < DEPTH) {
        let p = chunk * DEPTH + k;
        let row = p / OUT_W % OUT_H * STRIDE + y;
        let column = p % OUT_W * STRIDE + x;
        let inside = (p < PIXELS) & (u32(row) < IN_H) & (u32(column) < IN_W);
        let at = ((p / (OUT_W * OUT_H) * IN_H + row) * IN_W + column) * IN_VECS + c;
        a[k * A_STRIDE + i32(lane) % TILE_QUADS] = select(vec4h(), X[select(0, at, inside)], inside);
      }
    }
    // unroll
    for (var n = 0; n < B_UNITS; n++) {
      let u = i32(lane) + n * WORKGROUP;
      if (B_WHOLE || u < TILE_VECS * DEPTH) {
        let p = chunk * DEPTH + u / TILE_VECS;
        let at = p * OUT_VECS + firstVec + u % TILE_VECS;
        b[u / TILE_VECS * B_STRIDE + u % TILE_VECS] = select(vec4h(), D[select(0, at, p < PIXELS)], p < PIXELS);
      }
    }
    workgroupBarrier();
    // unroll
    for (var k = 0; k < STEPS; k++) {
      var right: array<subgroup_matrix_right<f16, WIDTH, TERMS>, COLUMNS>;
      // unroll
      for (var j = 0; j < COLUMNS; j++) {
        let column = (across * COLUMNS + j) * WIDTH;
        right[j] = subgroupMatrixLoad<subgroup_matrix_right<f16, WIDTH, TERMS>, row_major>(&b, u32(k * TERMS * B_STRIDE + column / 4), u32(B_STRIDE));
      }
      // unroll
      for (var r = 0; r < ROWS; r++) {
        let row = (down * ROWS + r) * HEIGHT;
        let left = subgroupMatrixLoad<subgroup_matrix_left<f16, TERMS, HEIGHT>, col_major>(&a, u32(k * TERMS * A_STRIDE + row / 4), u32(A_STRIDE));
        // unroll
        for (var j = 0; j < COLUMNS; j++) {
          sum[r * COLUMNS + j] = subgroupMatrixMultiplyAccumulate(left, right[j], sum[r * COLUMNS + j]);
        }
      }
    }
  }

  // unroll
  for (var r = 0; r < ROWS; r++) {
    let row = firstRow + (down * ROWS + r) * HEIGHT;
    if (row < FILTER_ROWS) {
      // unroll
      for (var j = 0; j < COLUMNS; j++) {
        let v = firstVec + (across * COLUMNS + j) * WIDTH_VECS;
        subgroupMatrixStore<row_major>(&P, u32((split * FILTER_ROWS + row) * OUT_VECS + v), sum[r * COLUMNS + j], u32(OUT_VECS));
      }
    }
  }
}
