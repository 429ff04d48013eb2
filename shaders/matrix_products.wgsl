// What `a` and `b` hold, multiplied into `sum` (see conv2d_matrix).
// unroll
for (var k = 0; k < STEPS; k++) {
  var right: array<subgroup_matrix_right<f16, WIDTH, TERMS>, COLUMNS>;
  // unroll
  for (var j = 0; j < COLUMNS; j++) {
    right[j] = subgroupMatrixLoad<subgroup_matrix_right<f16, WIDTH, TERMS>, col_major>(&b, (across * COLUMNS + j) * WIDTH * LINE + k * TERMS / 4, LINE);
  }
  // unroll
  for (var r = 0; r < ROWS; r++) {
    let factor = subgroupMatrixLoad<subgroup_matrix_left<f16, TERMS, HEIGHT>, row_major>(&a, (down * ROWS + r) * HEIGHT * LINE + k * TERMS / 4, LINE);
    // unroll
    for (var j = 0; j < COLUMNS; j++) {
      sum[r * COLUMNS + j] = subgroupMatrixMultiplyAccumulate(factor, right[j], sum[r * COLUMNS + j]);
    }
  }
}
