// The gradient D that reaches element (or vector) i of batch norm's output through the dropout and ReLU folded into it.
// Nothing was saved: ReLU's mask is made again from the pre-activation, dropout's from its counters.
fn foldedGradient(i: u32, preActivation: Vec) -> Vec {
  var g = D[i];
  if (DROPOUT > 0.0) {
    g *= dropoutMask(i, STEP[0], STEP[1]).xyzw;
  }
  if (RELU) {
    g = select(Vec(), g, preActivation > Vec());
  }
  return g;
}
