enable f16; // where HALF
// Convolution, backward-weights, as a GEMM with split-K through workgroup memory, for GPUs: phase one of two (sum_leading adds
// the splits), by the formula of conv2d_backward_weights. Both channel counts are multiples of 4.
//
// GEMM: M = KERNEL^2 * IN_C filter rows, in quads of four input channels of a tap; N = OUT_C; K = BATCH * OUT_H * OUT_W pixels,
// in blocks of PIXEL_ROWS x PIXEL_COLS of an image, of which each of SPLITS takes a run. SIZE invocations sum TILE_IN input vectors
// under all taps by TILE_OUT output vectors, a block at a time: A is the patch of the input that the block's taps read, [pixel,
// vector], which is laid into memory once for all of them, and B the gradient's block, [pixel, vector]; outside the image both are 0.
// Where SIZE is small, a workgroup has the invocations of several splits, PARTS, each with its own A and B.
//
// Layouts: X (input), D (gradient of the output) are NHWC, P is [split, ky, kx, ci, co].
alias Stored = vec4f; // unless HALF
alias Stored = vec4h; // where HALF
const HALF = false;   // X, D are stored as float16
// include: convolution_shape
const SPLITS = 1;
const PIXEL_ROWS = 4;
const PIXEL_COLS = 4;
const TERMS = 4;      // pixels of a row, a divisor of PIXEL_COLS, for which products are written out
const SKIP = 1;       // from one pixel of the patch to the next, in those of the input: more than 1 where taps leave some out
const TILE_IN = 1;
const TILE_OUT = 1;   // ACROSS * COLUMNS
const ACROSS = 1;
const DOWN = 9;       // ceil(KERNEL^2 * TILE_IN / QUADS)
const QUADS = 1;      // of an invocation, by COLUMNS
const COLUMNS = 1;
const A_UNITS = 4;    // that an invocation lays into A, vectors
const B_UNITS = 2;
const SIZE = 9;       // DOWN * ACROSS
const PARTS = 1;
const PARTED = false; // PARTS > 1
const WORKGROUP = 9;  // SIZE * PARTS
const TILE = 52;      // vectors of workgroup memory: PARTS * (A_SIZE + B_SIZE)
const IN_VECS = IN_C / 4;
const OUT_VECS = OUT_C / 4;
const STEP = STRIDE / SKIP; // pixels of the patch from one under an output pixel to the next
const PATCH_COLS = (PIXEL_COLS - 1) * STEP + KERNEL;
const A_SIZE = ((PIXEL_ROWS - 1) * STEP + KERNEL) * PATCH_COLS * TILE_IN;
const B_SIZE = PIXEL_ROWS * PIXEL_COLS * TILE_OUT;
const TILE_QUADS = KERNEL * KERNEL * TILE_IN;
const BLOCK_ROWS = (OUT_H + PIXEL_ROWS - 1) / PIXEL_ROWS;
const BLOCK_COLS = (OUT_W + PIXEL_COLS - 1) / PIXEL_COLS;
const BLOCKS = BATCH * BLOCK_ROWS * BLOCK_COLS;
const BLOCKS_PER_SPLIT = (BLOCKS + SPLITS - 1) / SPLITS;

@group(0) @binding(0) var<storage, read> X: array<Stored>;
@group(0) @binding(1) var<storage, read> D: array<Stored>;
@group(0) @binding(2) var<storage, read_write> P: array<vec4f>;

var<workgroup> tile: array<vec4f, TILE>; // A, then B, of each part

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  // Unsigned, as these are divided in fewer instructions.
  let part = lane / SIZE; // where PARTED
  const part = 0u;        // unless PARTED
  let own = lane % SIZE;
  let across = own % ACROSS;
  let down = own / ACROSS;
  let a = part * (A_SIZE + B_SIZE);
  let b = a + A_SIZE;
  let firstIn = group.x * TILE_IN;
  let firstOut = group.y * TILE_OUT;
  let split = group.z * PARTS + part;

  // What it lays into A and B: the pixel, from the block's first (x, y), of each unit.
  var inPixel = array<vec2i, A_UNITS>();
  // unroll
  for (var n = 0; n < A_UNITS; n++) {
    let pixel = (own + n * SIZE) / TILE_IN;
    inPixel[n] = vec2i(vec2u(pixel % PATCH_COLS, pixel / PATCH_COLS)) * SKIP - PADDING;
  }
  var outPixel = array<vec2u, B_UNITS>();
  // unroll
  for (var n = 0; n < B_UNITS; n++) {
    let pixel = (own + n * SIZE) / TILE_OUT;
    outPixel[n] = vec2u(pixel % PIXEL_COLS, pixel / PIXEL_COLS);
  }

  var sum = array<vec4f, QUADS * 4 * COLUMNS>();
  var nextA = array<Stored, A_UNITS>();
  var nextB = array<Stored, B_UNITS>();
  let begin = split * BLOCKS_PER_SPLIT;
  let end = min(begin + BLOCKS_PER_SPLIT, BLOCKS);
  // Of the workgroup's first split, which is the longest.
  let turns = min(BLOCKS_PER_SPLIT, BLOCKS - group.z * PARTS * BLOCKS_PER_SPLIT);
  // In each turn a block is read, and the one before it, that is in workgroup memory, multiplied meanwhile.
  for (var turn = 0u; turn <= turns; turn++) {
    let block = begin + turn;
    let image = block / (BLOCK_ROWS * BLOCK_COLS);
    let first = vec2u(block % BLOCK_COLS * PIXEL_COLS, block / BLOCK_COLS % BLOCK_ROWS * PIXEL_ROWS);
    // unroll
    for (var n = 0; n < A_UNITS; n++) {
      let u = own + n * SIZE;
      let pixel = vec2u(vec2i(first * STRIDE) + inPixel[n]); // left of the image and above it, beyond its end
      // A value that is chosen after it was read would have to be waited for here.
      nextA[n] = Stored();
      if ((block < end) & (pixel.y < IN_H) & (pixel.x < IN_W) & ((n + 1) * SIZE <= A_SIZE || u < A_SIZE)) {
        nextA[n] = X[((image * IN_H + pixel.y) * IN_W + pixel.x) * IN_VECS + firstIn + u % TILE_IN];
      }
    }
    // unroll
    for (var n = 0; n < B_UNITS; n++) {
      let u = own + n * SIZE;
      let pixel = first + outPixel[n];
      let inside = (OUT_H % PIXEL_ROWS == 0 || pixel.y < OUT_H) & (OUT_W % PIXEL_COLS == 0 || pixel.x < OUT_W);
      nextB[n] = Stored();
      if ((block < end) & inside & ((n + 1) * SIZE <= B_SIZE || u < B_SIZE)) {
        nextB[n] = D[((image * OUT_H + pixel.y) * OUT_W + pixel.x) * OUT_VECS + firstOut + u % TILE_OUT];
      }
    }

    // In the main function, by loops that count by one: compilers leave out bounds checks of indices only where they see what these
    // are made of.
    if (turn > 0) {
      for (var y = 0u; y < PIXEL_ROWS; y++) {
        for (var run = 0u; run < PIXEL_COLS / TERMS; run++) {
          // unroll
          for (var term = 0; term < TERMS; term++) {
            let x = run * TERMS + term;
            var quad: array<vec4f, QUADS>;
            // unroll
            for (var r = 0; r < QUADS; r++) {
              let q = (down + r * DOWN) % TILE_QUADS;
              let tap = q / TILE_IN;
              let under = (tap / KERNEL * PATCH_COLS + tap % KERNEL) * TILE_IN + q % TILE_IN;
              quad[r] = tile[a + under + (y * PATCH_COLS + x) * STEP * TILE_IN];
            }
            // unroll
            for (var j = 0; j < COLUMNS; j++) {
              let w = tile[b + (y * PIXEL_COLS + x) * TILE_OUT + across + j * ACROSS];
              // unroll
              for (var r = 0; r < QUADS; r++) {
                // unroll
                for (var i = 0; i < 4; i++) {
                  sum[(r * 4 + i) * COLUMNS + j] = fma(vec4f(quad[r][i]), w, sum[(r * 4 + i) * COLUMNS + j]);
                }
              }
            }
          }
        }
      }
    }

    workgroupBarrier();
    // unroll
    for (var n = 0; n < A_UNITS; n++) {
      let u = own + n * SIZE;
      if ((n + 1) * SIZE <= A_SIZE || u < A_SIZE) {
        tile[a + u] = vec4f(nextA[n]);
      }
    }
    // unroll
    for (var n = 0; n < B_UNITS; n++) {
      let u = own + n * SIZE;
      if ((n + 1) * SIZE <= B_SIZE || u < B_SIZE) {
        tile[b + u] = vec4f(nextB[n]);
      }
    }
    workgroupBarrier();
  }

  if (split < SPLITS) {
    // unroll
    for (var r = 0; r < QUADS; r++) {
      let q = down + r * DOWN;
      if (q < TILE_QUADS) {
        let row = (split * KERNEL * KERNEL + q / TILE_IN) * IN_VECS + firstIn + q % TILE_IN;
        // unroll
        for (var i = 0; i < 4; i++) {
          // unroll
          for (var j = 0; j < COLUMNS; j++) {
            P[(row * 4 + i) * OUT_VECS + firstOut + across + j * ACROSS] = sum[(r * 4 + i) * COLUMNS + j];
          }
        }
      }
    }
  }
}
