// Needs KERNEL, STRIDE, PADDING, BACKWARD.
// Where a row (or column) of the output takes its input from: tap t of `count` reads filter row first + t * step at
// input position origin + t * direction.
struct Taps { first: i32, step: i32, count: i32, direction: i32 }

fn taps(parity: i32) -> Taps {
  if (BACKWARD) {
    let first = (parity + PADDING) % STRIDE;
    return Taps(first, STRIDE, max(0, (KERNEL - first + STRIDE - 1) / STRIDE), -1);
  }
  return Taps(0, 1, KERNEL, 1);
}

fn origin(position: i32, parity: i32) -> i32 {
  if (BACKWARD) {
    return position + (parity + PADDING) / STRIDE;
  }
  return position * STRIDE - PADDING;
}

// Where a position of the grid lies in the output.
fn spread(position: i32, parity: i32) -> i32 {
  return select(position, position * STRIDE + parity, BACKWARD);
}
