// What inverted dropout multiplies element i (or vector i) by: 0, or 1 / (1 - DROPOUT). Needs pcg, DROPOUT.
fn dropoutMask(i: u32, step: u32, seed: u32, stream: u32) -> vec4f {
  let kept = random4(i, step, stream, seed) >= vec4u(u32(f32(DROPOUT) * 4294967040.0));
  return select(vec4f(), vec4f(1.0 / (1.0 - DROPOUT)), kept);
}
