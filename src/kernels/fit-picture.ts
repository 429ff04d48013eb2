import { type Dispatch, grid, WORKGROUP } from './dispatch.js';

/**
 * Fit a picture in a texture to size x size in two passes. `table` (i32) holds taps and weights, as fit_columns.wgsl says;
 * `rows` is the number of the picture's rows that matter, `middle` u32 [rows, size], `y` uint8 [size, size, 3].
 * Nothing but `rows` depends on the picture's size, so the pipelines serve all.
 */
export function fitPicture<B>(
  { size, rows }: { size: number; rows: number },
  { picture, table, middle, y }: { picture: B; table: B; middle: B; y: B },
): readonly [Dispatch<B>, Dispatch<B>] {
  const constants = { SIZE: size, WORKGROUP };
  return [
    {
      shader: 'fit_columns',
      constants,
      bindings: [picture, table, middle],
      workgroups: grid(rows * size),
    },
    {
      shader: 'fit_rows',
      constants,
      bindings: [table, middle, y],
      workgroups: grid((size * size * 3) / 4),
    },
  ];
}
