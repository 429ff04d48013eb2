// A picture in a texture to SIZE columns of bytes: the first of the two passes that fit it (fit_rows is the second).
//
//   MIDDLE[y, x] = (2^21 + sum over taps k of weight[x, k] * byte(TOP + y, first[x] + k)) >> 22, for each of R, G, B
//
// byte is what a texel's value of 0 to 1 is in 0 to 255, sRGB formats encoded again. Whole numbers, so the result has the
// bits of the CPU's (fitPicture). Weights are of 2^-22, at least 0, and those of a column add up to about 2^22: no overflow.
// TABLE is i32: [0] ROWS of MIDDLE, [1] TOP, [2] whether texels are to be encoded, [3] unused; then of each of SIZE columns
// and SIZE rows (first, count, where its weights begin in TABLE), then weights. MIDDLE is u32 [ROWS, SIZE]: R + 2^8 G + 2^16 B.
const SIZE = 32;
const WORKGROUP = 64;

@group(0) @binding(0) var PICTURE: texture_2d<f32>;
@group(0) @binding(1) var<storage, read> TABLE: array<i32>;
@group(0) @binding(2) var<storage, read_write> MIDDLE: array<u32>;

fn encoded(linear: vec3f) -> vec3f {
  let curve = 1.055 * pow(max(linear, vec3f(0.0031308)), vec3f(1.0 / 2.4)) - 0.055;
  return select(curve, 12.92 * linear, linear <= vec3f(0.0031308));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = i32((group.y * groups.x + group.x) * WORKGROUP + lane);
  if (i >= TABLE[0] * SIZE) {
    return;
  }
  let tap = 4 + 3 * (i % SIZE);
  let start = vec2i(TABLE[tap], TABLE[1] + i / SIZE);
  let weights = TABLE[tap + 2];
  var sum = vec3i(1 << 21);
  for (var k = 0; k < TABLE[tap + 1]; k++) {
    var value = clamp(textureLoad(PICTURE, start + vec2i(k, 0), 0).rgb, vec3f(0.0), vec3f(1.0));
    if (TABLE[2] != 0) {
      value = encoded(value);
    }
    sum += TABLE[weights + k] * vec3i(value * 255.0 + 0.5);
  }
  let bytes = vec3u(sum >> vec3u(22));
  MIDDLE[i] = bytes.x | (bytes.y << 8) | (bytes.z << 16);
}
