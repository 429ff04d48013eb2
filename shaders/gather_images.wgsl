// A batch from a data set of bytes: gather, flip, crop, normalise, in one pass.
//
//   Y[FIRST + b, y, x, c] = (pixel / 255 - mean[c]) / std[c]
//
// with pixel from image INDICES[b] of the data set, of which DATA holds images START .. START + COUNT - 1 (a set beyond
// the binding limit lies in several buffers: one dispatch each, rows of other buffers are left alone). With AUGMENT
// the image is flipped in half of the cases, then cropped at random from itself padded by PAD black pixels (black
// before normalising). STEP is [number, seed] (u32): with STREAM and the row it fixes flip and crop.
// DATA is uint8 [COUNT, HEIGHT, WIDTH, 3], four bytes to a word; Y is f32 [.., HEIGHT, WIDTH, 3].
// MEAN is 255 mean, SCALE is 1 / (255 std); MEAN_LOW and SCALE_LOW are what float32 leaves off them, so that a pixel is
// right to its last bit: an error here would be the same in every pixel, and would not average out.
// include: pcg
const ROWS = 1;
const FIRST = 0;
const START = 0;
const COUNT = 1;
const HEIGHT = 32;
const WIDTH = 32;
const AUGMENT = false;
const PAD = 4;
const STREAM = 0;
const MEAN = vec3f(0.0);
const MEAN_LOW = vec3f(0.0);
const SCALE = vec3f(1.0 / 255.0);
const SCALE_LOW = vec3f(0.0);
const WORKGROUP = 64;

@group(0) @binding(0) var<storage, read> DATA: array<u32>;
@group(0) @binding(1) var<storage, read> INDICES: array<u32>;
@group(0) @binding(2) var<storage, read> STEP: array<u32>;
@group(0) @binding(3) var<storage, read_write> Y: array<f32>;

fn byteAt(i: u32) -> f32 {
  return f32((DATA[i / 4] >> (8 * (i % 4))) & 0xffu);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i >= ROWS * HEIGHT * WIDTH) {
    return;
  }
  let row = i / (HEIGHT * WIDTH);
  let image = INDICES[row] - START; // wraps to a large number below START
  if (image >= COUNT) {
    return;
  }
  var y = i32(i / WIDTH % HEIGHT);
  var x = i32(i % WIDTH);
  if (AUGMENT) {
    let random = random4(row, STEP[0], STREAM, STEP[1]);
    y += i32(random.x % (2 * PAD + 1)) - PAD;
    x += i32(random.y % (2 * PAD + 1)) - PAD;
    if ((random.z & 1) == 1) {
      x = WIDTH - 1 - x;
    }
  }
  var pixel = vec3f();
  if (y >= 0 && y < HEIGHT && x >= 0 && x < WIDTH) {
    let at = ((image * HEIGHT + u32(y)) * WIDTH + u32(x)) * 3;
    pixel = vec3f(byteAt(at), byteAt(at + 1), byteAt(at + 2));
  }
  let centred = (pixel - MEAN) - MEAN_LOW;
  let value = fma(centred, SCALE, centred * SCALE_LOW);
  let to = ((FIRST + row) * HEIGHT * WIDTH + i % (HEIGHT * WIDTH)) * 3;
  Y[to] = value.x;
  Y[to + 1] = value.y;
  Y[to + 2] = value.z;
}
