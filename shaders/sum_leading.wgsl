// Sum over the leading axis: Y[i] = sum_s X[s, i]. X is [COUNT, SIZE], Y is [SIZE]. Phase two of every split reduction, and the
// gradient of a bias. In order of s; or where SHARED, on a GPU, LANES invocations add up every LANES-th each, and then their sums in
// order. Vec is vec4f where SIZE is a multiple of 4, else f32.
alias Vec = vec4f;
const WIDTH = 4;
const COUNT = 1;
const SIZE = 4;
const LANES = 1;
const SHARED = false; // LANES > 1
const TOGETHER = 1;   // that an invocation reads at once
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> X: array<Vec>;
@group(0) @binding(1) var<storage, read_write> Y: array<Vec>;

var<workgroup> found: array<vec4f, WORKGROUP>; // where SHARED

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  const VECS = SIZE / WIDTH;
  const SLOTS = WORKGROUP / LANES;
  let v = (group.y * groups.x + group.x) * SLOTS + lane % SLOTS;
  let member = lane / SLOTS;
  var sum = Vec();
  // A bound that the compiler cannot know: it would write the loop out, and software drivers take a second over that.
  let count = select(COUNT + 0u, 0u, group.x == 0xffffffffu || v >= VECS);
  for (var s = member; s < count; s += TOGETHER * LANES) {
    // Reads together, so that a GPU waits once for all.
    var x = array<Vec, TOGETHER>();
    // unroll
    for (var u = 0; u < TOGETHER; u++) {
      x[u] = X[min(s + u * LANES, COUNT - 1) * VECS + v];
    }
    // unroll
    for (var u = 0; u < TOGETHER; u++) {
      sum += select(Vec(), x[u], s + u * LANES < count);
    }
  }
  // where SHARED:
  found[lane] = vec4f(sum);
  workgroupBarrier();
  for (var i = 1u; i < LANES; i++) {
    sum += found[(lane + i * SLOTS) % WORKGROUP].xyzw;
  }
  // end
  if (member == 0 && v < VECS) {
    Y[v] = sum;
  }
}
