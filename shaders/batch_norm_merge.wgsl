// Batch norm, between its two phases: merge what all chunks found, so that not every workgroup of the second has to. For GPUs,
// where there are many of these.
//
// Forward (not BACKWARD), as in batch_norm_apply: P [CHUNKS, 3, CHANNELS] are mean, sum of squared deviations and count; MEAN,
// UNBIASED and FIGURES are made of them. BACKWARD, as in batch_norm_backward: P is [CHUNKS, 2, CHANNELS], and its sums are
// BETA_GRADIENT and GAMMA_GRADIENT, and both once more, as SUMS [2, CHANNELS], for that kernel to read: the host may have bound the
// gradients beside what it writes. A workgroup a vector of channels, lanes in a fixed order. Vec as there.
alias Vec = vec4f;
const WIDTH = 4;
const ROWS = 4;
const CHANNELS = 4;
const EPSILON = 1e-5;
const CHUNKS = 1;
const BACKWARD = false;
const TOGETHER = 4;   // chunks that a lane reads at once
const MERGED = 768;   // WORKGROUP * 3
const WORKGROUP = 256;

@group(0) @binding(0) var<storage, read> P: array<Vec>;
@group(0) @binding(1) var<storage, read> GAMMA: array<Vec>; // unless BACKWARD
@group(0) @binding(2) var<storage, read> BETA: array<Vec>; // unless BACKWARD
@group(0) @binding(3) var<storage, read_write> MEAN: array<Vec>; // unless BACKWARD
@group(0) @binding(4) var<storage, read_write> UNBIASED: array<Vec>; // unless BACKWARD
@group(0) @binding(5) var<storage, read_write> FIGURES: array<Vec>; // unless BACKWARD
@group(0) @binding(1) var<storage, read_write> GAMMA_GRADIENT: array<Vec>; // where BACKWARD
@group(0) @binding(2) var<storage, read_write> BETA_GRADIENT: array<Vec>; // where BACKWARD
@group(0) @binding(3) var<storage, read_write> SUMS: array<Vec>; // where BACKWARD

var<workgroup> merged: array<vec4f, MERGED>;
// include: moments
// unless BACKWARD:
// include: batch_norm_store
// end

// Of the chunks that a lane has in `merged`.
fn found(lane: u32) -> Moments {
  return Moments(merged[lane].x, merged[WORKGROUP + lane].xyzw, merged[2 * WORKGROUP + lane].xyzw);
}

fn keep(lane: u32, moments: Moments) {
  merged[lane] = vec4f(moments.count);
  merged[WORKGROUP + lane] = vec4f(moments.mean);
  merged[2 * WORKGROUP + lane] = vec4f(moments.squares);
}

// Chunk `chunk`'s, for vector c of channels; where BACKWARD its sums, in place of mean and squares.
fn momentsOf(chunk: u32, c: u32) -> Moments {
  const VECS = CHANNELS / WIDTH;
  // unless BACKWARD:
  let at = chunk * 3 * VECS + c;
  return Moments(vec4f(P[at + 2 * VECS]).x, P[at], P[at + VECS]);
  // end
  // where BACKWARD:
  let at = chunk * 2 * VECS + c;
  return Moments(0.0, P[at], P[at + VECS]);
  // end
}

fn combine(a: Moments, b: Moments) -> Moments {
  if (BACKWARD) {
    return Moments(0.0, a.mean + b.mean, a.squares + b.squares);
  }
  return merge(a, b);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  const VECS = CHANNELS / WIDTH;
  let c = group.x;
  var own = Moments(0.0, Vec(), Vec());
  for (var chunk = lane; chunk < CHUNKS; chunk += TOGETHER * WORKGROUP) {
    // Reads together, so that a GPU waits once for all.
    var read = array<Moments, TOGETHER>();
    // unroll
    for (var u = 0; u < TOGETHER; u++) {
      read[u] = momentsOf(min(chunk + u * WORKGROUP, CHUNKS - 1), c);
    }
    // unroll
    for (var u = 0; u < TOGETHER; u++) {
      if (chunk + u * WORKGROUP < CHUNKS) {
        own = combine(own, read[u]);
      }
    }
  }
  keep(lane, own);
  for (var half = WORKGROUP / 2u; half > 0; half /= 2) {
    workgroupBarrier();
    if (lane < half) {
      keep(lane, combine(found(lane), found(lane + half)));
    }
  }
  if (lane == 0) {
    let all = found(0);
    store(all, c); // unless BACKWARD
    // where BACKWARD:
    BETA_GRADIENT[c] = all.mean;
    GAMMA_GRADIENT[c] = all.squares;
    SUMS[c] = all.squares;
    SUMS[VECS + c] = all.mean;
    // end
  }
}
