// The loss of a mixed batch and its gradient, in one read and one write of the logits (Liu et al. 2020, section 3.2 and
// its footnote 2; Hendrycks et al. 2019 for OE).
//
// Row n has E = -logsumexp_k(L[n, k]). Rows 0 .. IN_COUNT-1 are in-distribution, with labels; the rest are outliers.
//   loss                   = cross-entropy + LAMBDA * regulariser
//   cross-entropy          = mean_in(-E - L[n, label])
//   regulariser (ENERGY)   = mean_in(max(0, E - M_IN)^2) + mean_out(max(0, M_OUT - E)^2)
//   regulariser (HINGE)    = mean over all pairs of an in and an out row of max(0, E_in - E_out + MARGIN)
//   regulariser (OE)       = mean_out(-E - mean_k L[n, k])
// so a row's gradient is  softmax * a + onehot(label) * b + c  with a, b, c of the row.
//
// ROW_LANES invocations a row: 1, or where SHARED, on a GPU, so many neighbours that they read together what lies together. Each
// takes CHUNKS times HELD vectors of WIDTH logits, ROW_LANES apart, and keeps exp(l - largest so far) of a chunk in registers: where
// CHUNKS is 1, logits are read and exponentials computed once; else twice. Then they merge what they found.
//
// L, G are [IN_COUNT + OUT_COUNT, CLASSES]; LABELS is [IN_COUNT] (u32, below CLASSES). HINGE compares rows: it is given the
// energies of all as E [IN_COUNT + OUT_COUNT] (row_energies); an in row's figure is then its mean over the out rows.
// S[n] = [cross-entropy of row n, regulariser of row n, E, 1 where the largest logit is the label's], for
// loss_statistics. The running maximum starts at the lowest finite number: implementations may assume no infinities.
// Vec is vec4f where CLASSES is a multiple of 4, else f32.
alias Vec = vec4f;
const WIDTH = 4;
const IN_COUNT = 1;
const OUT_COUNT = 1;
const CLASSES = 4;
const ENERGY = true;   // else HINGE, else OE
const HINGE = false;
const M_IN = -23.0;
const M_OUT = -5.0;
const MARGIN = 10.0;
const LAMBDA = 0.1;
const SCALE = 1.0;      // of the gradient
const HELD = 1;
const CHUNKS = 1;
const ROW_LANES = 2;
const SHARED = true;   // ROW_LANES > 1
const WORKGROUP = 64;

const VECS = CLASSES / WIDTH;

@group(0) @binding(0) var<storage, read> L: array<Vec>;
@group(0) @binding(1) var<storage, read> LABELS: array<u32>;
@group(0) @binding(2) var<storage, read_write> G: array<Vec>;
@group(0) @binding(3) var<storage, read_write> S: array<vec4f>;
@group(0) @binding(4) var<storage, read> E: array<f32>; // where HINGE

var<workgroup> found: array<vec4f, WORKGROUP>; // where SHARED
// where SHARED:
// Of parts of a row: [largest logit, sum of exp(l - largest), sum of logits, the first largest's index, which is exact to 2^24].
fn merge(a: vec4f, b: vec4f) -> vec4f {
  let largest = max(a.x, b.x);
  let sum = a.y * exp(a.x - largest) + b.y * exp(b.x - largest);
  let first = select(min(a.w, b.w), select(b.w, a.w, a.x > b.x), a.x != b.x);
  return vec4f(largest, sum, a.z + b.z, first);
}
// end

fn sumOf(v: Vec) -> f32 {
  let four = vec4f(v);
  return select((four.x + four.y) + (four.z + four.w), four.x, WIDTH == 1);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let id = (group.y * groups.x + group.x) * WORKGROUP + lane;
  let slot = id % ROW_LANES;
  let isRow = id / ROW_LANES < IN_COUNT + OUT_COUNT;
  let n = min(id / ROW_LANES, IN_COUNT + OUT_COUNT - 1u);
  let first = n * VECS;
  var held: array<Vec, HELD>;
  var largest = -3.4e38;
  var best = 0u;
  var sum = 0.0;
  var total = 0.0;
  for (var chunk = 0u; chunk < CHUNKS; chunk++) {
    let before = largest;
    // unroll
    for (var h = 0; h < HELD; h++) {
      let v = (chunk * HELD + h) * ROW_LANES + slot;
      // Past the row's end its last vector again, which no maximum minds and no sum takes.
      held[h] = L[first + min(v, VECS - 1)];
      if (v < VECS) {
        total += sumOf(held[h]);
      }
      // unroll
      for (var c = 0; c < WIDTH; c++) {
        let logit = vec4f(held[h])[c];
        best = select(best, v * WIDTH + c, logit > largest);
        largest = max(largest, logit);
      }
    }
    sum *= exp(before - largest);
    // unroll
    for (var h = 0; h < HELD; h++) {
      held[h] = exp(held[h] - Vec(largest));
      if ((chunk * HELD + h) * ROW_LANES + slot < VECS) {
        sum += sumOf(held[h]);
      }
    }
  }
  var rescaled = 1.0;
  // where SHARED:
  found[lane] = vec4f(largest, sum, total, f32(best));
  for (var half = ROW_LANES / 2u; half > 0; half /= 2) {
    workgroupBarrier();
    if (slot < half) {
      found[lane] = merge(found[lane], found[lane + half]);
    }
  }
  workgroupBarrier();
  let all = found[lane - slot];
  rescaled = select(1.0, exp(largest - all.x), CHUNKS == 1);
  largest = all.x;
  sum = all.y;
  total = all.z;
  best = u32(all.w);
  // end
  if (!isRow) {
    return;
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
    crossEntropy = -energy - vec4f(L[first + label / WIDTH])[label % WIDTH];
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
  let factor = softmaxFactor / sum;
  for (var chunk = 0u; chunk < CHUNKS; chunk++) {
    // unroll
    for (var h = 0; h < HELD; h++) {
      let v = (chunk * HELD + h) * ROW_LANES + slot;
      if (v < VECS) {
        if (CHUNKS > 1) {
          held[h] = exp(L[first + v] - Vec(largest));
        }
        let isLabel = vec4u(v * WIDTH) + vec4u(0, 1, 2, 3) == vec4u(label);
        let summand = vec4f(uniformTerm) + select(vec4f(), vec4f(labelTerm), isLabel);
        G[first + v] = fma(held[h], Vec(factor * rescaled), summand.xyzw) * Vec(SCALE);
      }
    }
  }
  if (slot == 0) {
    S[n] = vec4f(crossEntropy, regulariser, energy, correct);
  }
}
