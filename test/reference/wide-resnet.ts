import { batchNormApply } from './batch-norm.js';
import { conv2d, hwioFromOihw } from './convolution.js';
import { add, globalAveragePool, linear } from './layers.js';

/** Parameters and buffers by PyTorch's names and layouts (PROTOCOL.md). */
export type State = (name: string) => { shape: readonly number[]; data: ArrayLike<number> };

/** Pixels of every set: x/255, then this mean and deviation by channel. */
const PIXEL_MEAN = [125.3 / 255, 123.0 / 255, 113.9 / 255];
const PIXEL_STD = [63.0 / 255, 62.1 / 255, 66.7 / 255];

export function normalise(pixels: Uint8Array): Float64Array {
  return Float64Array.from(pixels, (p, i) => (p / 255 - PIXEL_MEAN[i % 3]!) / PIXEL_STD[i % 3]!);
}

interface Activation {
  x: Float64Array;
  n: number;
  size: number;
  channels: number;
}

/**
 * A wide residual network of depth 6·blocks + 4, in evaluation mode, in float64.
 * @param images n normalised images, 32 x 32 x 3, NHWC.
 * @returns the input of fc (n, 64·width) and the logits (n, classes).
 */
export function wideResnetEvaluate(
  images: Float64Array,
  state: State,
  { blocks }: { blocks: number },
): { features: Float64Array; logits: Float64Array } {
  const values = (name: string) => Float64Array.from(state(name).data);

  const convolve = ({ x, n, size, channels }: Activation, name: string, stride: number): Activation => {
    const { shape, data } = state(`${name}.weight`);
    const [cout, cin, kh, kw] = shape as [number, number, number, number];
    if (cin !== channels) throw new Error(`${name} takes ${cin} channels, not ${channels}`);
    const weights = hwioFromOihw(data, { cout, cin, kh, kw });
    const pad = (kh - 1) / 2;
    const y = conv2d(x, weights, { n, h: size, w: size, cin, kh, kw, cout, stride, pad });
    return { x: y, n, size: Math.ceil(size / stride), channels: cout };
  };

  const normaliseAndRelu = (a: Activation, name: string): Activation => {
    const running = { mean: values(`${name}.running_mean`), variance: values(`${name}.running_var`) };
    const affine = { gamma: values(`${name}.weight`), beta: values(`${name}.bias`) };
    return { ...a, x: batchNormApply(a.x, running, affine, { relu: true }) };
  };

  const block = (a: Activation, name: string, stride: number): Activation => {
    const activated = normaliseAndRelu(a, `${name}.bn1`);
    const hidden = normaliseAndRelu(convolve(activated, `${name}.conv1`, stride), `${name}.bn2`);
    const residual = convolve(hidden, `${name}.conv2`, 1);
    // A block that changes the channels takes its shortcut from the activated input, the others from the raw one.
    const shortcut = residual.channels === a.channels ? a : convolve(activated, `${name}.convShortcut`, stride);
    return { ...residual, x: add(residual.x, shortcut.x) };
  };

  const n = images.length / (32 * 32 * 3);
  let a = convolve({ x: images, n, size: 32, channels: 3 }, 'conv1', 1);
  for (const [group, stride] of [1, 2, 2].entries()) {
    for (let i = 0; i < blocks; i++) a = block(a, `block${group + 1}.layer.${i}`, i === 0 ? stride : 1);
  }
  a = normaliseAndRelu(a, 'bn1');
  const features = globalAveragePool(a.x, { n, h: a.size, w: a.size, c: a.channels });
  const [outputs, inputs] = state('fc.weight').shape as [number, number];
  return { features, logits: linear(features, values('fc.weight'), values('fc.bias'), { n, inputs, outputs }) };
}
