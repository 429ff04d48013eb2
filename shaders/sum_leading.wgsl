// Sum over the leading axis: Y[i] = sum_s X[s, i], in order of s. X is [COUNT, SIZE], Y is [SIZE].
// Phase two of every split reduction, and the gradient of a bias. Vec is vec4f where SIZE is a multiple of 4, else f32.
alias Vec = vec4f;
const WIDTH = 4;
const COUNT = 1;
const SIZE = 4;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Vec>;
@group(0) @binding(1) var<storage, read_write> Y: array<Vec>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= SIZE / WIDTH) {
    return;
  }
  var sum = Vec();
  // A bound that the compiler cannot know: it would write the loop out, and software drivers take a second over that.
  let count = select(COUNT + 0u, 0u, id.x == 0xffffffffu);
  for (var s = 0u; s < count; s++) {
    sum += X[s * (SIZE / WIDTH) + id.x];
  }
  Y[id.x] = sum;
}
