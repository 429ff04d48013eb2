// Y = X - EPSILON * sign(G) / STD of the channel, sign(0) being +1: the input step of ODIN (Liang et al. 2018, eq. 2) and
// of Mahalanobis (Lee et al. 2018, eq. 4), in normalised space. X, G, Y are [.., 3], COUNT elements.
const COUNT = 3;
const EPSILON = 0.0014;
const STD = vec3f(1, 1, 1);
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> G: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i >= COUNT) {
    return;
  }
  let step = EPSILON / STD[i % 3u];
  Y[i] = X[i] - select(step, -step, G[i] < 0.0);
}
