// Of a GEMM through workgroup memory: DEPTH terms of each of an invocation's sums, from A and B in `tile`. It stands in the main
// function, as compilers leave out bounds checks of indices only where they see what these are made of.
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
