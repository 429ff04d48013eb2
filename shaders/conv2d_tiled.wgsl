enable f16; // where HALF
// Convolution as implicit GEMM through workgroup memory, for GPUs: forward and backward-data by the formulas of conv2d, with
// the same RESIDUAL, ACTIVATE, BOTH and REDUCE on store. All channel counts are multiples of 4.
//
// GEMM: M = BATCH * GRID_H * GRID_W output pixels, N = OUT_C, K = KERNEL^2 * IN_C. Pixels are counted in quads, four
// adjacent ones of a row. A workgroup computes DOWN * QUADS quads by ACROSS * COLUMNS vectors of channels: an invocation QUADS
// by COLUMNS of them, DOWN and ACROSS apart, in registers. For every tap, DEPTH input channels at a time are laid into
// `tile`, turned so that an input channel's quads lie side by side (A), and its weights' vectors of output channels (B): each
// is read from there by ACROSS, or DOWN, invocations. In backward-data with stride S, workgroup_id.z picks one of S*S parity
// classes of output pixels; each class has its own taps, so no multiplication by zero is made.
//
// Where PATCHED (3x3, stride 1, a workgroup whole rows of the output) A is the input under all taps, laid once for DEPTH input
// channels, with the halo: SEGMENTS times SPAN + 2 rows, each of PATCH_QUADS quads that begin a pixel to the left. B is then
// their weights under all taps. An invocation reads six pixels of a row for the three taps of a filter row.
//
// Layouts: X, Y, R, N are NHWC, W is the forward convolution's [ky, kx, in, out] in both directions; P, FIGURES and AFFINE as in
// conv2d, with a chunk a workgroup of each column of the grid. The host guarantees that DEPTH divides IN_C, that ACROSS *
// COLUMNS divides OUT_VECS, and that `tile` holds A and B, and what REDUCE needs. A unit of A is a quad of four channels; one of B a
// vector in forward, and four of four channels in backward-data. Where PATCHED the order of additions is another, by input channel.
// include: pcg
alias Stored = vec4f; // unless HALF
alias Stored = vec4h; // where HALF
const HALF = false;   // X, R, Y, Z, N are stored as float16
// include: convolution_shape
// include: convolution_store
const DEPTH = 4;
const ACROSS = 1;
const DOWN = 64;       // WORKGROUP / ACROSS
const QUADS = 1;
const COLUMNS = 1;
const TILE_QUADS = 64; // DOWN * QUADS
const TILE_VECS = 1;   // ACROSS * COLUMNS
const TILE = 260;      // vectors of workgroup memory: DEPTH * (TILE_QUADS + TILE_VECS), or more
const A_UNITS = 1;     // that an invocation lays into A
const A_WHOLE = true;  // and every invocation as many
const B_UNITS = 1;
const B_WHOLE = false;
const WORKGROUP = 64;
const IN_VECS = IN_C / 4;
const OUT_VECS = OUT_C / 4;
const ROW_QUADS = (GRID_W + 3) / 4;
const PATCHED = false;
const SPAN = 1;       // rows of one image
const SEGMENTS = 1;   // TILE_QUADS / (SPAN * ROW_QUADS)
const PATCH_QUADS = ROW_QUADS + 1;
const PATCH = SEGMENTS * (SPAN + 2) * PATCH_QUADS; // quads of an input channel
const B = DEPTH * select(TILE_QUADS, PATCH, PATCHED); // where B begins in `tile`
const ALL_QUADS = BATCH * GRID_H * ROW_QUADS;
const WHOLE = GRID_W % 4 == 0 && OUT_W % GRID_W == 0; // no quad reaches past a row
const SPACING = select(STRIDE, 1, BACKWARD); // of a quad's pixels in the input

@group(0) @binding(0) var<storage, read> X: array<Stored>;
@group(0) @binding(1) var<storage, read> W: array<vec4f>;
@group(0) @binding(2) var<storage, read> R: array<Stored>; // where RESIDUAL
@group(0) @binding(3) var<storage, read_write> Y: array<Stored>;
@group(0) @binding(4) var<storage, read> AFFINE: array<vec4f>; // where ACTIVATE
@group(0) @binding(5) var<storage, read_write> Z: array<Stored>; // where BOTH
@group(0) @binding(4) var<storage, read_write> P: array<vec4f>; // where REDUCE
@group(0) @binding(5) var<storage, read> N: array<Stored>; // where GRADIENTS
@group(0) @binding(6) var<storage, read> FIGURES: array<vec4f>; // where GRADIENTS
@group(0) @binding(7) var<uniform> STEP: vec4u; // where DROPS

var<workgroup> tile: array<vec4f, TILE>; // A, then B
// include: dropout_mask
// include: convolution_taps

// Pixels of the quads before quad t: the last of a row may be cut short.
fn pixelsBefore(t: i32) -> i32 {
  return (t / ROW_QUADS) * GRID_W + min((t % ROW_QUADS) * 4, GRID_W);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let parity = vec2i(i32(group.z) % STRIDE, i32(group.z) / STRIDE);
  let rows = taps(parity.y); // unless PATCHED
  let columns = taps(parity.x); // unless PATCHED
  let across = i32(lane) % ACROSS;
  let down = i32(lane) / ACROSS;
  let firstQuad = i32(group.x) * TILE_QUADS;
  let firstVec = i32(group.y) * TILE_VECS;

  // where PATCHED:
  // What this invocation lays into A, quads side by side.
  var quadAt = array<i32, A_UNITS>();
  var left = array<i32, A_UNITS>();
  var source = array<i32, A_UNITS>(); // of a quad's first pixel
  var insideY = array<bool, A_UNITS>();
  // unroll
  for (var n = 0; n < A_UNITS; n++) {
    let u = i32(lane) + n * WORKGROUP;
    let c = u / PATCH;
    let q = u % PATCH;
    let row = q / PATCH_QUADS;
    let first = firstQuad / ROW_QUADS + row / (SPAN + 2) * SPAN; // of a segment, among the rows of all images
    let top = first % GRID_H + row % (SPAN + 2) - 1;
    quadAt[n] = c * 4 * PATCH + q;
    left[n] = q % PATCH_QUADS * 4 - 1;
    insideY[n] = (u32(top) < IN_H) & (first < BATCH * GRID_H);
    source[n] = ((first / GRID_H * IN_H + top) * IN_W + left[n]) * IN_VECS + c;
  }
  var sum = array<vec4f, QUADS * 4 * COLUMNS>();
  for (var c = 0; c < IN_VECS; c += DEPTH / 4) {
    workgroupBarrier();
    // unroll
    for (var n = 0; n < A_UNITS; n++) {
      if (A_WHOLE || i32(lane) + n * WORKGROUP < PATCH * DEPTH / 4) {
        var quad: mat4x4f;
        // unroll
        for (var i = 0; i < 4; i++) {
          let inside = insideY[n] & (u32(left[n] + i) < IN_W);
          quad[i] = select(vec4f(), vec4f(X[select(0, source[n] + c + i * IN_VECS, inside)]), inside);
        }
        let turned = transpose(quad);
        // unroll
        for (var i = 0; i < 4; i++) {
          tile[quadAt[n] + i * PATCH] = turned[i];
        }
      }
    }
    // B, the taps in the order in which the patch's pixels meet them: backward-data's is reversed.
    // unroll
    for (var n = 0; n < B_UNITS; n++) {
      let u = i32(lane) + n * WORKGROUP;
      let v = u % TILE_VECS;
      // unless BACKWARD:
      if (B_WHOLE || u < 9 * DEPTH * TILE_VECS) {
        let k = u / TILE_VECS % DEPTH;
        let tap = u / (TILE_VECS * DEPTH);
        tile[B + u] = W[(tap * IN_C + c * 4 + k) * OUT_VECS + firstVec + v];
      }
      // end
      // where BACKWARD:
      if (B_WHOLE || u < 9 * DEPTH / 4 * TILE_VECS) {
        let k = u / TILE_VECS % (DEPTH / 4);
        let tap = u / (TILE_VECS * DEPTH / 4);
        var weights: mat4x4f;
        // unroll
        for (var i = 0; i < 4; i++) {
          weights[i] = W[((8 - tap) * OUT_C + (firstVec + v) * 4 + i) * IN_VECS + c + k];
        }
        let turned = transpose(weights);
        // unroll
        for (var i = 0; i < 4; i++) {
          tile[B + (tap * DEPTH + k * 4 + i) * TILE_VECS + v] = turned[i];
        }
      }
      // end
    }
    workgroupBarrier();
    for (var k = 0; k < DEPTH; k++) {
      for (var ky = 0; ky < 3; ky++) {
        var window: array<vec4f, QUADS * 2>;
        // unroll
        for (var r = 0; r < QUADS; r++) {
          let row = (down + r * DOWN) / ROW_QUADS;
          let at = (row / SPAN * (SPAN + 2) + row % SPAN + ky) * PATCH_QUADS + (down + r * DOWN) % ROW_QUADS;
          window[r * 2] = tile[k * PATCH + at];
          window[r * 2 + 1] = tile[k * PATCH + at + 1];
        }
        // unroll
        for (var kx = 0; kx < 3; kx++) {
          // unroll
          for (var j = 0; j < COLUMNS; j++) {
            let w = tile[B + ((ky * 3 + kx) * DEPTH + k) * TILE_VECS + across + j * ACROSS];
            // unroll
            for (var r = 0; r < QUADS; r++) {
              // unroll
              for (var i = 0; i < 4; i++) {
                let x = window[r * 2 + (i + kx) / 4][(i + kx) % 4];
                sum[(r * 4 + i) * COLUMNS + j] = fma(vec4f(x), w, sum[(r * 4 + i) * COLUMNS + j]);
              }
            }
          }
        }
      }
    }
  }
  // end
  // unless PATCHED:
  // What this invocation lays into A: eight quads side by side for the workgroup, and all channels of a pixel within few lanes.
  var quadAt = array<i32, A_UNITS>();
  var top = array<i32, A_UNITS>();
  var left = array<i32, A_UNITS>();
  var source = array<i32, A_UNITS>(); // of a quad's first pixel, under tap 0
  // unroll
  for (var n = 0; n < A_UNITS; n++) {
    let u = i32(lane) + n * WORKGROUP;
    let q = u % 8 + u / (2 * DEPTH) * 8;
    let c = u / 8 % (DEPTH / 4);
    let t = min(firstQuad + q, ALL_QUADS - 1);
    quadAt[n] = c * 4 * TILE_QUADS + q;
    top[n] = origin((t / ROW_QUADS) % GRID_H, parity.y);
    left[n] = origin((t % ROW_QUADS) * 4, parity.x);
    source[n] = ((t / (ROW_QUADS * GRID_H) * IN_H + top[n]) * IN_W + left[n]) * IN_VECS + c;
  }

  var sum = array<vec4f, QUADS * 4 * COLUMNS>();
  for (var ty = 0; ty < rows.count; ty++) {
    for (var tx = 0; tx < columns.count; tx++) {
      let tap = (rows.first + ty * rows.step) * KERNEL + columns.first + tx * columns.step;
      let y = ty * rows.direction;
      let x = tx * columns.direction;
      for (var c = 0; c < IN_VECS; c += DEPTH / 4) {
        workgroupBarrier();
        // unroll
        for (var n = 0; n < A_UNITS; n++) {
          if (A_WHOLE || i32(lane) + n * WORKGROUP < TILE_QUADS * DEPTH / 4) {
            let insideY = u32(top[n] + y) < IN_H;
            let at = source[n] + (y * IN_W + x) * IN_VECS + c;
            var quad: mat4x4f;
            // unroll
            for (var i = 0; i < 4; i++) {
              let inside = insideY & (u32(left[n] + x + i * SPACING) < IN_W);
              quad[i] = select(vec4f(), vec4f(X[select(0, at + i * SPACING * IN_VECS, inside)]), inside);
            }
            let turned = transpose(quad);
            // unroll
            for (var i = 0; i < 4; i++) {
              tile[quadAt[n] + i * TILE_QUADS] = turned[i];
            }
          }
        }
        // B: forward's filter has an input channel's weights side by side, and backward's an output channel's.
        // unroll
        for (var n = 0; n < B_UNITS; n++) {
          let u = i32(lane) + n * WORKGROUP;
          // unless BACKWARD:
          if (B_WHOLE || u < TILE_VECS * DEPTH) {
            tile[B + u] = W[(tap * IN_C + c * 4 + u / TILE_VECS) * OUT_VECS + firstVec + u % TILE_VECS];
          }
          // end
          // where BACKWARD:
          if (B_WHOLE || u < TILE_VECS * DEPTH / 4) {
            let v = u % TILE_VECS;
            let k = u / TILE_VECS;
            var weights: mat4x4f;
            // unroll
            for (var i = 0; i < 4; i++) {
              weights[i] = W[(tap * OUT_C + (firstVec + v) * 4 + i) * IN_VECS + c + k];
            }
            let turned = transpose(weights);
            // unroll
            for (var i = 0; i < 4; i++) {
              tile[B + (k * 4 + i) * TILE_VECS + v] = turned[i];
            }
          }
          // end
        }
        workgroupBarrier();
        // In the main function, as compilers leave out bounds checks of indices only where they see what these are made of.
        for (var step = 0; step < DEPTH / 4; step++) {
          // unroll
          for (var term = 0; term < 4; term++) {
            let k = step * 4 + term;
            var a: array<vec4f, QUADS>;
            // unroll
            for (var r = 0; r < QUADS; r++) {
              a[r] = tile[k * TILE_QUADS + down + r * DOWN];
            }
            // unroll
            for (var j = 0; j < COLUMNS; j++) {
              let w = tile[B + k * TILE_VECS + across + j * ACROSS];
              // unroll
              for (var r = 0; r < QUADS; r++) {
                // unroll
                for (var i = 0; i < 4; i++) {
                  sum[(r * 4 + i) * COLUMNS + j] = fma(vec4f(a[r][i]), w, sum[(r * 4 + i) * COLUMNS + j]);
                }
              }
            }
          }
        }
      }
    }
  }
  // end

  // where STATISTICS:
  // Deviations are from the workgroup's first value, which every workgroup has.
  workgroupBarrier();
  if (down == 0) {
    let pixel = pixelsBefore(firstQuad) * OUT_VECS + firstVec;
    // unroll
    for (var j = 0; j < COLUMNS; j++) {
      var value = sum[j];
      value += vec4f(R[pixel + across + j * ACROSS]); // where RESIDUAL
      tile[across + j * ACROSS] = value;
    }
  }
  workgroupBarrier();
  // end
  // where REDUCE:
  var first = array<vec4f, COLUMNS>();
  var second = array<vec4f, COLUMNS>();
  // end
  // where GRADIENTS:
  var mean = array<vec4f, COLUMNS>();
  var scale = array<vec4f, COLUMNS>();
  var beta = array<vec4f, COLUMNS>();
  // unroll
  for (var j = 0; j < COLUMNS; j++) {
    let v = firstVec + across + j * ACROSS;
    mean[j] = FIGURES[v];
    scale[j] = FIGURES[OUT_VECS + v];
    beta[j] = FIGURES[2 * OUT_VECS + v];
  }
  // end
  // unroll
  for (var r = 0; r < QUADS; r++) {
    let t = firstQuad + down + r * DOWN;
    let gridX = (t % ROW_QUADS) * 4;
    let outY = spread((t / ROW_QUADS) % GRID_H, parity.y);
    if ((t < ALL_QUADS) & (outY < OUT_H)) {
      // unroll
      for (var i = 0; i < 4; i++) {
        let outX = spread(gridX + i, parity.x);
        if (WHOLE || ((gridX + i < GRID_W) & (outX < OUT_W))) {
          let pixel = (((t / (ROW_QUADS * GRID_H)) * OUT_H + outY) * OUT_W + outX) * OUT_VECS;
          // unroll
          for (var j = 0; j < COLUMNS; j++) {
            let v = firstVec + across + j * ACROSS;
            var value = sum[(r * 4 + i) * COLUMNS + j];
            value += vec4f(R[pixel + v]); // where RESIDUAL
            var result = value;
            result = max(fma(value, AFFINE[v], AFFINE[OUT_VECS + v]), vec4f()); // where ACTIVATE
            Z[pixel + v] = Stored(result); // where BOTH
            Y[pixel + v] = Stored(select(result, value, BOTH));
            // where STATISTICS:
            let deviation = value - tile[across + j * ACROSS];
            first[j] += deviation;
            second[j] = fma(deviation, deviation, second[j]);
            // end
            // where GRADIENTS:
            let centred = vec4f(N[pixel + v]) - mean[j];
            var g = value;
            g *= dropoutMask(u32(pixel + v), STEP[0], STEP[1], STEP[3]); // where DROPS
            if (RELU) {
              g = select(vec4f(), g, fma(centred, scale[j], beta[j]) > vec4f());
            }
            first[j] += g;
            second[j] = fma(g, centred, second[j]);
            // end
          }
        }
      }
    }
  }
  // where REDUCE:
  let pivot = tile[i32(lane) % TILE_VECS]; // where STATISTICS
  workgroupBarrier();
  // unroll
  for (var j = 0; j < COLUMNS; j++) {
    let at = down * TILE_VECS + across + j * ACROSS;
    tile[at] = first[j];
    tile[DOWN * TILE_VECS + at] = second[j];
  }
  workgroupBarrier();
  // A lane to each vector of channels, lanes in order.
  let chunk = i32(group.z) * ((ALL_QUADS + TILE_QUADS - 1) / TILE_QUADS) + i32(group.x);
  if (i32(lane) < TILE_VECS) {
    var sums = vec4f();
    var products = vec4f();
    for (var i = 0; i < DOWN; i++) {
      sums += tile[i * TILE_VECS + i32(lane)];
      products += tile[(DOWN + i) * TILE_VECS + i32(lane)];
    }
    let v = firstVec + i32(lane);
    // where STATISTICS:
    let begin = i32(group.x) * TILE_QUADS;
    let count = f32(pixelsBefore(min(begin + TILE_QUADS, ALL_QUADS)) - pixelsBefore(begin));
    // end
    // include: convolution_partials
  }
  // end
}
