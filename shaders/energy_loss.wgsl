// The loss of a mixed batch and its gradient, in one read and one write of the logits (Liu et al. 2020, section 3.2 and
// its footnote 2; Hendrycks et al. 2019 for OE).
//
// Row n has E = -logsumexp_k(L[n, k]). Rows 0 .. IN_COUNT-1 are in-distribution, with labels; the rest are outliers.
//   loss                   = cross-entropy + LAMBDA * regulariser
//   cross-entropy          = mean_in(-E - L[n, label])
//   regulariser (ENERGY)   = mean_in(max(0, E - M_IN)^2) + mean_out(max(0, M_OUT - E)^2)
//   regulariser (HINGE)    = mean over all pairs of an in and an out row of max(0, E_in - E_out + MARGIN)
//   regulariser (OE)       = mean_out(-E - mean_k L[n, k])
// so a row's gradient is  softmax * a + onehot(label) * b + c  with a, b, c of the row. One invocation a row.
//
// L, G are [IN_COUNT + OUT_COUNT, CLASSES]; LABELS is [IN_COUNT] (u32, below CLASSES). HINGE compares rows: it is given the
// energies of all as E [IN_COUNT + OUT_COUNT] (row_energies); an in row's figure is then its mean over the out rows.
// S[n] = [cross-entropy of row n, regulariser of row n, E, 1 where the largest logit is the label's], for
// loss_statistics. The running maximum starts at the lowest finite number: implementations may assume no infinities.
const IN_COUNT = 1;
const OUT_COUNT = 1;
const CLASSES = 10;
const ENERGY = true;   // else HINGE, else OE
const HINGE = false;
const M_IN = -23.0;
const M_OUT = -5.0;
const MARGIN = 10.0;
const LAMBDA = 0.1;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> L: array<f32>;
@group(0) @binding(1) var<storage, read> LABELS: array<u32>;
@group(0) @binding(2) var<storage, read_write> G: array<f32>;
@group(0) @binding(3) var<storage, read_write> S: array<vec4f>;
@group(0) @binding(4) var<storage, read> E: array<f32>; // where HINGE

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  if (n >= IN_COUNT + OUT_COUNT) {
    return;
  }
  let first = n * CLASSES;
  var largest = -3.4e38;
  var best = 0u;
  var total = 0.0;
  for (var k = 0u; k < CLASSES; k++) {
    let logit = L[first + k];
    total += logit;
    if (logit > largest) {
      largest = logit;
      best = k;
    }
  }
  var sum = 0.0;
  for (var k = 0u; k < CLASSES; k++) {
    sum += exp(L[first + k] - largest);
  }
  let energy = -(largest + log(sum));

  // Of the pairs that row n is in: how many are too close, and by how much together.
  var close = 0.0;
  var excesses = 0.0;
  let inside = n < IN_COUNT; // where HINGE
  for (var m = select(0u, u32(IN_COUNT), inside); m < select(u32(IN_COUNT), u32(IN_COUNT + OUT_COUNT), inside); m++) { // where HINGE
    let excess = select(E[m] - energy, energy - E[m], inside) + MARGIN; // where HINGE
    close += select(0.0, 1.0, excess > 0.0); // where HINGE
    excesses += max(0.0, excess); // where HINGE
  } // where HINGE

  var softmaxFactor = 0.0;
  var uniformTerm = 0.0;
  var labelTerm = 0.0;
  var label = CLASSES + 0u;
  var crossEntropy = 0.0;
  var regulariser = 0.0;
  var correct = 0.0;
  if (n < IN_COUNT) {
    label = LABELS[n];
    crossEntropy = -energy - L[first + label];
    correct = select(0.0, 1.0, best == label);
    softmaxFactor = 1.0 / f32(IN_COUNT);
    labelTerm = -softmaxFactor;
    if (ENERGY) {
      let excess = max(0.0, energy - M_IN);
      regulariser = excess * excess;
      softmaxFactor -= LAMBDA * 2.0 * excess / f32(IN_COUNT);
    } else if (HINGE) {
      regulariser = excesses / f32(max(OUT_COUNT, 1));
      softmaxFactor -= LAMBDA * close / f32(IN_COUNT) / f32(max(OUT_COUNT, 1));
    }
  } else if (ENERGY) {
    let shortfall = max(0.0, M_OUT - energy);
    regulariser = shortfall * shortfall;
    softmaxFactor = LAMBDA * 2.0 * shortfall / f32(max(OUT_COUNT, 1));
  } else if (HINGE) {
    softmaxFactor = LAMBDA * close / f32(IN_COUNT) / f32(max(OUT_COUNT, 1));
  } else {
    regulariser = -energy - total / f32(CLASSES);
    softmaxFactor = LAMBDA / f32(max(OUT_COUNT, 1));
    uniformTerm = -softmaxFactor / f32(CLASSES);
  }
  for (var k = 0u; k < CLASSES; k++) {
    let softmax = exp(L[first + k] + energy);
    G[first + k] = fma(softmax, softmaxFactor, uniformTerm + select(0.0, labelTerm, k == label));
  }
  S[n] = vec4f(crossEntropy, regulariser, energy, correct);
}
