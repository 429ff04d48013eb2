// Means over a batch of energy_loss's row figures, into slot (number - 1) % CAPACITY of a log that stays on the GPU:
//
//   LOG[slot] = [loss, cross-entropy, LAMBDA * regulariser, energy_in, energy_out, accuracy, 0, 0]
//
// S is [IN_COUNT + OUT_COUNT] of vec4f; STEP is [number, seed] (u32). HALTED is one word, the first step whose loss
// or energies were not finite (all ones while there is none): the optimiser changes nothing from then on. The energies
// count because a hinge, a maximum, may turn NaN into 0. Not-finite is found in the bits, since implementations may
// assume it away. One workgroup; a tree of fixed shape, so the same bits each time.
const IN_COUNT = 1;
const OUT_COUNT = 1;
const LAMBDA = 0.1;
const CAPACITY = 1;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> S: array<vec4f>;
@group(0) @binding(1) var<storage, read> STEP: array<u32>;
@group(0) @binding(2) var<storage, read_write> LOG: array<f32>;
@group(0) @binding(3) var<storage, read_write> HALTED: array<atomic<u32>>;

var<workgroup> inside: array<vec4f, WORKGROUP>;
var<workgroup> outside: array<vec4f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  var sumIn = vec4f();
  var sumOut = vec4f();
  for (var n = lane; n < IN_COUNT; n += WORKGROUP) {
    sumIn += S[n];
  }
  for (var n = lane; n < OUT_COUNT; n += WORKGROUP) {
    sumOut += S[IN_COUNT + n];
  }
  inside[lane] = sumIn;
  outside[lane] = sumOut;
  // A count of turns that the compiler cannot know: it would write them out, and software drivers take seconds over that.
  for (var half = select(WORKGROUP / 2u, 0u, group.x == 0xffffffffu); half > 0; half /= 2) {
    workgroupBarrier();
    if (lane < half) {
      inside[lane] += inside[lane + half];
      outside[lane] += outside[lane + half];
    }
  }
  if (lane == 0) {
    let meanIn = inside[0] / f32(IN_COUNT);
    let meanOut = outside[0] / f32(max(OUT_COUNT, 1));
    let regulariser = LAMBDA * (meanIn.y + meanOut.y);
    let loss = meanIn.x + regulariser;
    let slot = ((STEP[0] - 1) % CAPACITY) * 8;
    LOG[slot] = loss;
    LOG[slot + 1] = meanIn.x;
    LOG[slot + 2] = regulariser;
    LOG[slot + 3] = meanIn.z;
    LOG[slot + 4] = meanOut.z;
    LOG[slot + 5] = meanIn.w;
    let exponents = bitcast<vec3u>(vec3f(loss, meanIn.z, meanOut.z)) & vec3u(0x7f800000u);
    if (any(exponents == vec3u(0x7f800000u))) {
      atomicMin(&HALTED[0], STEP[0]);
    }
  }
}
