// What a batch norm keeps of a vector's statistics, once all chunks are merged: see batch_norm_apply. Needs moments.
fn deviationOf(all: Moments) -> Vec {
  return 1.0 / sqrt(all.squares / f32(ROWS) + EPSILON);
}

fn store(all: Moments, c: u32) {
  const VECS = CHANNELS / WIDTH;
  let deviation = deviationOf(all);
  MEAN[c] = all.mean;
  UNBIASED[c] = all.squares / f32(max(ROWS - 1, 1));
  FIGURES[c] = all.mean;
  FIGURES[VECS + c] = GAMMA[c] * deviation;
  FIGURES[2 * VECS + c] = BETA[c];
  FIGURES[3 * VECS + c] = deviation;
}
