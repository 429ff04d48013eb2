enable f16; // where HALF
// Convolution, backward-weights, as a GEMM with split-K through workgroup memory, for GPUs: phase one of two (sum_leading adds
// the splits), by the formula of conv2d_backward_weights. Both channel counts are multiples of 4.
//
// GEMM: M = KERNEL^2 * IN_C filter rows, in quads of four input channels of a tap; N = OUT_C; K = BATCH * OUT_H * OUT_W pixels,
// in segments of DEPTH of a row; each of SPLITS takes about as many rows. Tiles as in conv2d_tiled, a segment at a time: A is the
// input's quads, under each quad's tap, and B the gradient's vectors; a unit of either is a vector.
//
// Layouts: X (input), D (gradient of the output) are NHWC, P is [split, ky, kx, ci, co].
alias Stored = vec4f; // unless HALF
alias Stored = vec4h; // where HALF
const HALF = false;   // X, D are stored as float16
// include: convolution_shape
const SPLITS = 1;
// include: tile_shape
const ALL_QUADS = KERNEL * KERNEL * IN_VECS;
const ROW_SEGMENTS = (OUT_W + DEPTH - 1) / DEPTH;
const ROWS = BATCH * OUT_H;
const ROWS_PER_SPLIT = (ROWS + SPLITS - 1) / SPLITS;

@group(0) @binding(0) var<storage, read> X: array<Stored>;
@group(0) @binding(1) var<storage, read> D: array<Stored>;
@group(0) @binding(2) var<storage, read_write> P: array<vec4f>;

var<workgroup> tile: array<vec4f, TILE>; // A, then B

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let across = i32(lane) % ACROSS;
  let down = i32(lane) / ACROSS;
  let firstQuad = i32(group.x) * TILE_QUADS;
  let firstVec = i32(group.y) * TILE_VECS;
  let split = i32(group.z);

  var sum = array<vec4f, QUADS * 4 * COLUMNS>();
  let end = min((split + 1) * ROWS_PER_SPLIT, ROWS) * ROW_SEGMENTS;
  for (var segment = split * ROWS_PER_SPLIT * ROW_SEGMENTS; segment < end; segment++) {
    let row = segment / ROW_SEGMENTS;
    let first = segment % ROW_SEGMENTS * DEPTH;
    let top = row % OUT_H * STRIDE;
    let left = first * STRIDE;
    let source = (row / OUT_H * IN_H + top) * IN_W + left;
    workgroupBarrier();
    // unroll
    for (var n = 0; n < A_UNITS; n++) {
      let u = i32(lane) + n * WORKGROUP;
      if (A_WHOLE || u < TILE_QUADS * DEPTH) {
        let q = min(firstQuad + u % TILE_QUADS, ALL_QUADS - 1);
        let k = u / TILE_QUADS;
        let tap = q / IN_VECS;
        let y = tap / KERNEL - PADDING;
        let x = tap % KERNEL - PADDING + k * STRIDE;
        let inside = (u32(top + y) < IN_H) & (u32(left + x) < IN_W) & (first + k < OUT_W);
        let at = source * IN_VECS + (y * IN_W + x) * IN_VECS + q % IN_VECS;
        tile[u] = select(vec4f(), vec4f(X[select(0, at, inside)]), inside);
      }
    }
    // unroll
    for (var n = 0; n < B_UNITS; n++) {
      let u = i32(lane) + n * WORKGROUP;
      if (B_WHOLE || u < TILE_VECS * DEPTH) {
        let k = u / TILE_VECS;
        let at = (row * OUT_W + first + k) * OUT_VECS + firstVec + u % TILE_VECS;
        let inside = first + k < OUT_W;
        tile[B + u] = select(vec4f(), vec4f(D[select(0, at, inside)]), inside);
      }
    }
    workgroupBarrier();
    // include: tile_products
  }

  // unroll
  for (var r = 0; r < QUADS; r++) {
    let q = firstQuad + down + r * DOWN;
    if (q < ALL_QUADS) {
      // unroll
      for (var i = 0; i < 4; i++) {
        // unroll
        for (var j = 0; j < COLUMNS; j++) {
          P[((split * ALL_QUADS + q) * 4 + i) * OUT_VECS + firstVec + across + j * ACROSS] = sum[(r * 4 + i) * COLUMNS + j];
        }
      }
    }
  }
}
