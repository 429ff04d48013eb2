// SIZE columns of bytes to SIZE x SIZE: the second of the two passes that fit a picture (fit_columns is the first, and tells
// the layout of TABLE and MIDDLE).
//
//   Y[y, x, c] = (2^21 + sum over taps k of weight[y, k] * MIDDLE[first[y] - TOP + k, x, c]) >> 22
//
// Y is uint8 [SIZE, SIZE, 3], four bytes to a word; an invocation makes a word. SIZE must be a multiple of 4.
const SIZE = 32;
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> TABLE: array<i32>;
@group(0) @binding(1) var<storage, read> MIDDLE: array<u32>;
@group(0) @binding(2) var<storage, read_write> Y: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= SIZE * SIZE * 3 / 4) {
    return;
  }
  var word = 0u;
  for (var b = 0u; b < 4; b++) {
    let at = 4 * id.x + b;
    let pixel = i32(at / 3);
    let shift = 8 * (at % 3);
    let tap = 4 + 3 * (SIZE + pixel / SIZE);
    let start = (TABLE[tap] - TABLE[1]) * SIZE + pixel % SIZE;
    let weights = TABLE[tap + 2];
    var sum = 1 << 21;
    for (var k = 0; k < TABLE[tap + 1]; k++) {
      sum += TABLE[weights + k] * i32((MIDDLE[start + k * SIZE] >> shift) & 255);
    }
    word |= u32(sum >> 22) << (8 * b);
  }
  Y[id.x] = word;
}
