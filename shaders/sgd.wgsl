// Stochastic gradient descent with Nesterov momentum and weight decay, as PyTorch's (Sutskever et al. 2013), over all
// parameters from FIRST up to SIZE at once:
//
//   g = SCALE * G[i] + WEIGHT_DECAY * W[i];  V[i] = MOMENTUM * V[i] + g;  W[i] -= rate * (g + MOMENTUM * V[i])
//
// Vec is vec4f where FIRST and SIZE are multiples of 4, else f32; an invocation takes TURNS of them, WORKGROUP apart.
// STEP is [number, seed, rate as the bits of an f32] (u32). Nothing changes once HALTED.
alias Vec = vec4f;
const WIDTH = 4;
const FIRST = 0;
const SIZE = 4;
const MOMENTUM = 0.9;
const WEIGHT_DECAY = 5e-4;
const SCALE = 1.0;
const TURNS = 8;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> G: array<Vec>;
@group(0) @binding(1) var<storage, read> STEP: array<u32>;
@group(0) @binding(2) var<storage, read> HALTED: array<u32>;
@group(0) @binding(3) var<storage, read_write> W: array<Vec>;
@group(0) @binding(4) var<storage, read_write> V: array<Vec>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = FIRST / WIDTH + (group.y * groups.x + group.x) * TURNS * WORKGROUP + lane;
  if (HALTED[0] <= STEP[0]) {
    return;
  }
  let rate = bitcast<f32>(STEP[2]);
  for (var i = first; i < min(first + TURNS * WORKGROUP, SIZE / WIDTH); i += WORKGROUP) {
    let w = W[i];
    let g = fma(Vec(WEIGHT_DECAY), w, SCALE * G[i]);
    let v = fma(Vec(MOMENTUM), V[i], g);
    V[i] = v;
    W[i] = w - rate * fma(Vec(MOMENTUM), v, g);
  }
}
