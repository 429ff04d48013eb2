import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readNpz } from '../../src/formats/npz.js';
import { batchNormApply, batchNormBackward, batchNormStatistics, updateRunning } from './batch-norm.js';
import {
  type ConvolutionShape,
  conv2d,
  conv2dBackwardData,
  conv2dBackwardWeights,
  hwioFromOihw,
  outputSize,
} from './convolution.js';
import { centralDifference } from './differences.js';
import { globalAveragePool, globalAveragePoolBackward, linear, linearBackward, relu, reluBackward } from './layers.js';
import { crossEntropy, energyHinge, type Loss, outlierExposure, pairHinge } from './losses.js';
import { sgdStep } from './sgd.js';
import { normalise, wideResnetEvaluate } from './wide-resnet.js';

/** Numbers without a pattern, in (-1, 1), the same in every run; `salt` makes other ones. */
function noise(length: number, salt: number): Float64Array {
  return Float64Array.from({ length }, (_, i) => {
    const s = Math.sin((i + 1) * 12.9898 + salt * 78.233) * 43758.5453;
    return 2 * (s - Math.floor(s)) - 1;
  });
}

const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

/** The gradient of f, all of it or every so many elements, against central differences. */
function expectGradient(f: (x: Float64Array) => number, x: Float64Array, gradient: Float64Array): void {
  expect(gradient).toHaveLength(x.length);
  const stride = Math.ceil(x.length / 60);
  const indices = Array.from({ length: Math.ceil(x.length / stride) }, (_, i) => i * stride);
  const numeric = centralDifference(f, x, indices);
  for (const [i, index] of indices.entries()) {
    expect(Math.abs(gradient[index]! - numeric[i]!), `element ${index}`).toBeLessThan(1e-7);
  }
  expect(Math.max(...numeric.map(Math.abs))).toBeGreaterThan(1e-3);
}

describe('convolution', () => {
  const shapes: [string, ConvolutionShape][] = [
    ['3x3', { n: 2, h: 5, w: 4, cin: 3, kh: 3, kw: 3, cout: 2, stride: 1, pad: 1 }],
    ['3x3, stride 2, odd size', { n: 1, h: 5, w: 7, cin: 2, kh: 3, kw: 3, cout: 3, stride: 2, pad: 1 }],
    ['3x3, stride 2, even size', { n: 1, h: 6, w: 4, cin: 2, kh: 3, kw: 3, cout: 2, stride: 2, pad: 1 }],
    ['1x1', { n: 2, h: 3, w: 3, cin: 3, kh: 1, kw: 1, cout: 4, stride: 1, pad: 0 }],
    ['1x1, stride 2', { n: 2, h: 4, w: 5, cin: 3, kh: 1, kw: 1, cout: 2, stride: 2, pad: 0 }],
  ];

  it.each(shapes)('%s: both gradients agree with central differences', (_, shape) => {
    const { oh, ow } = outputSize(shape);
    expect([oh, ow]).toEqual([Math.ceil(shape.h / shape.stride), Math.ceil(shape.w / shape.stride)]);
    const x = noise(shape.n * shape.h * shape.w * shape.cin, 1);
    const weights = noise(shape.kh * shape.kw * shape.cin * shape.cout, 2);
    const dy = noise(shape.n * oh * ow * shape.cout, 3);
    expectGradient((p) => dot(conv2d(p, weights, shape), dy), x, conv2dBackwardData(dy, weights, shape));
    expectGradient((p) => dot(conv2d(x, p, shape), dy), weights, conv2dBackwardWeights(x, dy, shape));
  });

  it('is a correlation with zero padding', () => {
    const x = Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
    const weights = Float64Array.of(0, 0, 0, 0, 1, 0, 0, 0, 10);
    const shape = { n: 1, h: 3, w: 3, cin: 1, kh: 3, kw: 3, cout: 1, stride: 1, pad: 1 };
    expect([...conv2d(x, weights, shape)]).toEqual([51, 62, 3, 84, 95, 6, 7, 8, 9]);
    expect([...conv2d(x, weights, { ...shape, stride: 2 })]).toEqual([51, 3, 7, 9]);
  });

  it('reads OIHW weights', () => {
    const oihw = Array.from({ length: 2 * 3 * 1 * 2 }, (_, i) => i);
    const hwio = hwioFromOihw(oihw, { cout: 2, cin: 3, kh: 1, kw: 2 });
    expect([...hwio]).toEqual([0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]);
  });
});

describe('batch norm', () => {
  const channels = 3;
  const x = noise(7 * channels, 4);
  const dy = noise(7 * channels, 5);
  const affine = { gamma: noise(channels, 6), beta: noise(channels, 7) };
  const train = (p: Float64Array, { gamma, beta }: typeof affine, options: { relu: boolean }) =>
    batchNormApply(p, batchNormStatistics(p, channels), { gamma, beta }, options);

  it('gives outputs of mean β and deviation |γ|', () => {
    const { mean, variance } = batchNormStatistics(train(x, affine, { relu: false }), channels);
    for (let c = 0; c < channels; c++) {
      expect(mean[c]).toBeCloseTo(affine.beta[c]!, 12);
      expect(variance[c]).toBeCloseTo(affine.gamma[c]! ** 2, 3);
    }
  });

  it.each([false, true])('with relu %s: the three gradients agree with central differences', (withRelu) => {
    const options = { relu: withRelu };
    const { dx, dgamma, dbeta } = batchNormBackward(x, dy, affine, options);
    const { gamma, beta } = affine;
    expectGradient((p) => dot(train(p, affine, options), dy), x, dx);
    expectGradient((p) => dot(train(x, { gamma: p, beta }, options), dy), gamma, dgamma);
    expectGradient((p) => dot(train(x, { gamma, beta: p }, options), dy), beta, dbeta);
  });

  it('moves the running statistics a tenth of the way, to the unbiased variance', () => {
    const batch = batchNormStatistics(Float64Array.of(1, 2, 6), 1);
    expect([batch.mean[0], batch.variance[0]]).toEqual([expect.closeTo(3, 12), expect.closeTo(14 / 3, 12)]);
    const next = updateRunning({ mean: Float64Array.of(1), variance: Float64Array.of(2) }, batch, 3);
    expect(next.mean[0]).toBeCloseTo(0.9 * 1 + 0.1 * 3, 12);
    expect(next.variance[0]).toBeCloseTo(0.9 * 2 + 0.1 * 7, 12);
  });
});

describe('layers', () => {
  it('relu: the gradient agrees with central differences', () => {
    const [x, dy] = [noise(20, 8), noise(20, 9)];
    expectGradient((p) => dot(relu(p), dy), x, reluBackward(x, dy));
  });

  it('global average pool: means by channel, and the gradient agrees with central differences', () => {
    const shape = { n: 2, h: 2, w: 3, c: 2 };
    const ramp = Float64Array.from({ length: 24 }, (_, i) => i);
    expect([...globalAveragePool(ramp, shape)].map((y) => y.toFixed(9))).toEqual(
      [5, 6, 17, 18].map((y) => y.toFixed(9)),
    );
    const dy = noise(4, 10);
    expectGradient((p) => dot(globalAveragePool(p, shape), dy), ramp, globalAveragePoolBackward(dy, shape));
  });

  it('linear: x·Wᵀ + b, and the three gradients agree with central differences', () => {
    const tiny = { n: 1, inputs: 2, outputs: 3 };
    const product = linear(Float64Array.of(1, 10), Float64Array.of(1, 2, 3, 4, 5, 6), Float64Array.of(0, 0, 100), tiny);
    expect([...product]).toEqual([21, 43, 165]);
    const shape = { n: 3, inputs: 4, outputs: 2 };
    const [x, weights, bias, dy] = [noise(12, 11), noise(8, 12), noise(2, 13), noise(6, 14)];
    const { dx, dweights, dbias } = linearBackward(x, weights, dy, shape);
    expectGradient((p) => dot(linear(p, weights, bias, shape), dy), x, dx);
    expectGradient((p) => dot(linear(x, p, bias, shape), dy), weights, dweights);
    expectGradient((p) => dot(linear(x, weights, p, shape), dy), bias, dbias);
  });
});

interface Meta {
  classes: number;
  batch: number;
  m_in: number;
  m_out: number;
  log: Record<'loss' | 'cross_entropy' | 'regulariser' | 'energy_in' | 'energy_out', number>[];
}

function golden(loss: 'energy' | 'oe') {
  const name = `finetune-${loss}-wrn-10-1.npz`;
  const npz = readNpz(readFileSync(new URL(`../fixtures/reference/${name}`, import.meta.url)), name);
  const meta: Meta = JSON.parse(new TextDecoder().decode(npz.get('meta').data as Uint8Array));
  const floats = (array: string) => Float64Array.from(npz.get(array).data as Float32Array);
  return { npz, meta, floats };
}

describe('losses', () => {
  const classes = 4;
  const labels = [2, 0, 3];
  const logits = noise(5 * classes, 15).map((value) => 3 * value);
  // Of either part some rows are within their margin and some beyond: both sides of each hinge are tried.
  const margins = { mIn: -1.7, mOut: -3.1, lambda: 0.3 };
  const losses: [string, (p: Float64Array) => Loss][] = [
    ['cross-entropy', (p) => crossEntropy(p, labels, classes)],
    ['energy hinge', (p) => energyHinge(p, labels, classes, margins)],
    ['hinge of pairs', (p) => pairHinge(p, labels, classes, { margin: -1.8, lambda: 0.3 })],
    ['outlier exposure', (p) => outlierExposure(p, labels, classes, { lambda: 0.5 })],
  ];

  it.each(losses)('%s: the gradient agrees with central differences', (_, loss) => {
    expectGradient((p) => loss(p).loss, logits, loss(logits).gradient);
  });

  it.each(['energy', 'oe'] as const)('%s: the first step of PyTorch in float64', (kind) => {
    const { npz, meta, floats } = golden(kind);
    const step1Labels = [...(npz.get('in_labels').data as BigInt64Array)].slice(0, meta.batch).map(Number);
    const trainLogits = floats('train_logits');
    const got =
      kind === 'energy'
        ? energyHinge(trainLogits, step1Labels, meta.classes, { mIn: meta.m_in, mOut: meta.m_out, lambda: 0.1 })
        : outlierExposure(trainLogits, step1Labels, meta.classes, { lambda: 0.5 });
    for (const key of ['loss', 'cross_entropy', 'regulariser', 'energy_in', 'energy_out'] as const) {
      expect(Math.abs(got[key] - meta.log[0]![key]), key).toBeLessThan(1e-5);
    }
    // fc's bias is added to every row, so its gradient is the sum of the logits' gradients.
    const biasGradient = floats('grad/fc.bias');
    for (let k = 0; k < meta.classes; k++) {
      const sum = got.gradient.reduce((total, g, i) => (i % meta.classes === k ? total + g : total), 0);
      expect(Math.abs(sum - biasGradient[k]!), `class ${k}`).toBeLessThan(1e-5);
    }
  });

  it('energy hinge: rows within their margin add nothing to cross-entropy, and the others do', () => {
    const difference = energyHinge(logits, labels, classes, margins).gradient.map(
      (g, i) => g - crossEntropy(logits, labels, classes).gradient[i]!,
    );
    const adds = (row: number) => difference.subarray(row * classes, (row + 1) * classes).some((d) => d !== 0);
    // Energies are -0.43, -1.92, -1.66 in distribution, and -3.03, -3.22 out of it.
    expect([0, 1, 2, 3, 4].map(adds)).toEqual([true, false, true, false, true]);
  });
});

describe('hinge of pairs', () => {
  it('by hand: one in-distribution row, two outliers', () => {
    // Of one class, E is minus the logit: 2 in-distribution; 3.5 and 2.5 outside. Margin 1: excesses 0 and 0.5.
    const { regulariser, gradient, cross_entropy } = pairHinge(Float64Array.of(-2, -3.5, -2.5), [0], 1, {
      margin: 1,
      lambda: 0.4,
    });
    expect(cross_entropy).toBe(0);
    expect(regulariser).toBeCloseTo(0.4 * 0.25, 12);
    expect([...gradient]).toEqual([expect.closeTo(-0.2, 12), expect.closeTo(0, 12), expect.closeTo(0.2, 12)]);
  });
});

describe('SGD', () => {
  it('takes two Nesterov steps with weight decay, as computed by hand', () => {
    const options = { lr: 0.1, momentum: 0.5, weightDecay: 0.2 };
    // g = 1 + 0.2·2 = 1.4, v = 1.4, w = 2 - 0.1·(1.4 + 0.7)
    const first = sgdStep(Float64Array.of(2), Float64Array.of(1), Float64Array.of(0), options);
    expect(first.velocity[0]).toBeCloseTo(1.4, 12);
    expect(first.weights[0]).toBeCloseTo(1.79, 12);
    // g = -1 + 0.2·1.79 = -0.642, v = 0.7 - 0.642 = 0.058, w = 1.79 - 0.1·(-0.642 + 0.029)
    const second = sgdStep(first.weights, Float64Array.of(-1), first.velocity, options);
    expect(second.velocity[0]).toBeCloseTo(0.058, 12);
    expect(second.weights[0]).toBeCloseTo(1.8513, 12);
  });
});

describe('WRN-10-1 in evaluation mode', () => {
  it('gives the features and logits of PyTorch in float64', () => {
    const { npz, floats } = golden('energy');
    const images = (npz.get('in_images').data as Uint8Array).subarray(0, 2 * 32 * 32 * 3);
    const { features, logits } = wideResnetEvaluate(
      normalise(images),
      (name) => {
        const { shape, data } = npz.get(`init/${name}`);
        return { shape, data: data as Float32Array };
      },
      { blocks: 1 },
    );
    const expectedFeatures = floats('features_before');
    expect(features).toHaveLength(2 * 64);
    expect(logits).toHaveLength(2 * 10);
    for (const [i, value] of features.entries()) expect(Math.abs(value - expectedFeatures[i]!)).toBeLessThan(1e-6);
    const expectedLogits = floats('eval_logits_before');
    for (const [i, value] of logits.entries()) expect(Math.abs(value - expectedLogits[i]!)).toBeLessThan(1e-6);
  });
});
