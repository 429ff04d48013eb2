import * as tf from '@tensorflow/tfjs';
import { conv2dOutput } from '../../src/kernels/conv2d.js';
import { labels, oneHot, scaled, uniform } from '../inputs.js';
import { LOSS, type Mixed, SGD, type Task, type Tasks, type Workloads } from '../workloads.js';
import { loadNetwork } from './tfjs-wide-resnet.js';
import { concatenate, normalisedImages } from './weights.js';

/** What differs between backends. */
export interface Runtime {
  /** Set flags. */
  apply(setting: string): void;
  /** Hand over what is still queued, and wait for all of it. */
  finish(): Promise<void>;
}

/** A task whose run computes tensors, by `compute`, which is called in `tidy`. */
function task(runtime: Runtime, owned: readonly tf.Tensor[], compute: () => tf.Tensor[]): Task {
  return {
    async run(times) {
      for (let i = 0; i < times; i++) tf.dispose(tf.tidy(compute));
      await runtime.finish();
    },
    async outputs() {
      const results = tf.tidy(compute);
      const values = await Promise.all(results.map((tensor) => tensor.data()));
      tf.dispose(results);
      return values.map((data) => data as Float32Array);
    },
    dispose: () => tf.dispose([...owned]),
  };
}

const input = (shape: number[], seed: number): tf.Tensor =>
  tf.tensor(uniform(tf.util.sizeFromShape(shape), seed), shape);

/** All tasks, for any backend: the same calls a user would write. */
export function tfjsTasks(runtime: Runtime): Tasks {
  return {
    relu({ size }, setting) {
      runtime.apply(setting);
      const x = input([size], 1);
      return task(runtime, [x], () => [tf.relu(x)]);
    },
    matmul({ m, n, k }, setting) {
      runtime.apply(setting);
      const a = input([m, k], 1);
      const b = input([k, n], 2);
      return task(runtime, [a, b], () => [tf.matMul(a, b)]);
    },
    conv2d(parameters, setting) {
      runtime.apply(setting);
      return convolution(runtime, parameters);
    },
    batchNorm(parameters, setting) {
      runtime.apply(setting);
      return batchNorm(runtime, parameters);
    },
    energyLoss({ inCount, outCount, classes }, setting) {
      runtime.apply(setting);
      const logits = tf.tensor2d(scaled((inCount + outCount) * classes, 1, 4), [inCount + outCount, classes]);
      const targets = tf.tensor2d(oneHot(labels(inCount, classes), classes), [inCount, classes]);
      const lossAndGradient = tf.valueAndGrad((x) => energyLoss(x as tf.Tensor2D, targets, { inCount, outCount }));
      return task(runtime, [logits, targets], () => {
        const { value, grad } = lossAndGradient(logits);
        return [grad, value];
      });
    },
    sgd({ size }, setting) {
      runtime.apply(setting);
      const w = tf.variable(input([size], 1));
      const gradient = input([size], 2);
      const velocity = tf.variable(input([size], 3));
      return task(runtime, [w, gradient, velocity], () => {
        update(w, gradient, velocity);
        return [w.clone(), velocity.clone()];
      });
    },
    step(parameters, setting) {
      runtime.apply(setting);
      return step(runtime, parameters);
    },
    score({ batch, ...config }, setting) {
      runtime.apply(setting);
      const network = loadNetwork(config);
      const images = tf.tensor4d(normalisedImages(batch, 0), [batch, 32, 32, 3]);
      const logits = async () => {
        const result = tf.tidy(() => network.forward(images, false));
        const data = await result.data();
        result.dispose();
        return data as Float32Array;
      };
      return {
        async run(times) {
          for (let i = 0; i < times; i++) await logits();
        },
        outputs: async () => [await logits()],
        dispose: () => tf.dispose([images, ...network.state.values()]),
      };
    },
  };
}

function convolution(runtime: Runtime, { direction, ...shape }: Workloads['conv2d']): Task {
  const { batch, inHeight, inWidth, inChannels, outChannels, kernel, stride } = shape;
  const { height, width } = conv2dOutput(shape);
  const inputShape = [batch, inHeight, inWidth, inChannels];
  const filterShape = [kernel, kernel, inChannels, outChannels] as [number, number, number, number];
  const x = input(inputShape, 1) as tf.Tensor4D;
  const filter = input(filterShape, 2) as tf.Tensor4D;
  const dy = input([batch, height, width, outChannels], 3) as tf.Tensor4D;
  const pad = (kernel - 1) / 2;
  // The kernels that the gradient of conv2d runs.
  const attributes = { strides: stride, pad, dataFormat: 'NHWC' };
  const compute = {
    forward: () => tf.conv2d(x, filter, stride, pad),
    'backward-data': () =>
      tf.engine().runKernel('Conv2DBackpropInput', { dy, filter }, { ...attributes, inputShape }) as tf.Tensor,
    'backward-weights': () =>
      tf.engine().runKernel('Conv2DBackpropFilter', { x, dy }, { ...attributes, filterShape }) as tf.Tensor,
  }[direction];
  return task(runtime, [x, filter, dy], () => [compute()]);
}

function batchNorm(runtime: Runtime, { batch, side, channels, backward }: Workloads['batchNorm']): Task {
  const shape = [batch, side, side, channels];
  const x = input(shape, 1);
  const gamma = input([channels], 2);
  const beta = input([channels], 3);
  const dy = input(shape, 4);
  const owned = [x, gamma, beta, dy];
  const forward = (x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) => {
    const { mean, variance } = tf.moments(x, [0, 1, 2]);
    return tf.relu(
      tf.batchNorm(x, mean as tf.Tensor1D, variance as tf.Tensor1D, beta as tf.Tensor1D, gamma as tf.Tensor1D, 1e-5),
    );
  };
  if (!backward) return task(runtime, owned, () => [forward(x, gamma, beta)]);
  const valueAndGradients = tf.valueAndGrads((...inputs: tf.Tensor[]) => forward(inputs[0], inputs[1], inputs[2]));
  return task(runtime, owned, () => {
    const { value, grads } = valueAndGradients([x, gamma, beta], dy);
    return [value, ...grads];
  });
}

/** Liu et al. 2020, as a user composes it. `targets` is one-hot. */
function energyLoss(logits: tf.Tensor2D, targets: tf.Tensor2D, { inCount, outCount }: Mixed): tf.Scalar {
  const negativeEnergy = tf.logSumExp(logits, 1) as tf.Tensor1D;
  const inside = negativeEnergy.slice(0, inCount);
  const outside = negativeEnergy.slice(inCount, outCount);
  const chosen = tf.sum(tf.mul(logits.slice([0, 0], [inCount, -1]), targets), 1);
  const crossEntropy = tf.mean(tf.sub(inside, chosen));
  const hingeIn = tf.mean(tf.square(tf.relu(tf.sub(tf.neg(inside), LOSS.mIn))));
  const hingeOut = tf.mean(tf.square(tf.relu(tf.add(outside, LOSS.mOut))));
  return tf.add(crossEntropy, tf.mul(tf.add(hingeIn, hingeOut), LOSS.lambda));
}

/** PyTorch's Nesterov momentum with weight decay. */
function update(w: tf.Variable, gradient: tf.Tensor, velocity: tf.Variable): void {
  const g = tf.add(gradient, tf.mul(w, SGD.weightDecay));
  velocity.assign(tf.add(tf.mul(velocity, SGD.momentum), g));
  w.assign(tf.sub(w, tf.mul(tf.add(g, tf.mul(velocity, SGD.momentum)), SGD.learningRate)));
}

function step(runtime: Runtime, { inCount, outCount, ...config }: Workloads['step']): Task {
  const network = loadNetwork(config);
  const images = tf.tensor4d(normalisedImages(inCount, outCount), [inCount + outCount, 32, 32, 3]);
  const targets = tf.tensor2d(oneHot(labels(inCount, config.classes), config.classes), [inCount, config.classes]);
  const velocity = new Map([...network.parameters].map(([name, w]) => [name, tf.variable(tf.zerosLike(w), false)]));
  const variables = [...network.parameters.values()];
  const one = (): tf.Scalar => {
    const { value, grads } = tf.variableGrads(
      () => energyLoss(network.forward(images, true), targets, { inCount, outCount }),
      variables,
    );
    for (const [name, w] of network.parameters) update(w, grads[w.name], velocity.get(name)!);
    return value;
  };
  return {
    async run(times) {
      for (let i = 0; i < times; i++) tf.tidy(one).dispose();
      await runtime.finish();
    },
    async outputs() {
      const loss = tf.tidy(one);
      const gradients = await Promise.all([...velocity].map(([name, v]) => network.toPyTorch(name, v)));
      const result = [(await loss.data()) as Float32Array, concatenate(gradients)];
      loss.dispose();
      return result;
    },
    dispose: () => tf.dispose([images, targets, ...network.state.values(), ...velocity.values()]),
  };
}
