import * as tf from '@tensorflow/tfjs';
import { blocksOf, isStatistic } from '../../src/nn/network.js';
import { toEngineLayout, toPyTorchLayout } from '../../src/nn/wide-resnet.js';
import type { NetworkWorkload } from '../workloads.js';
import { network } from './weights.js';

/** A WideResNet in functional TensorFlow.js. */
export interface TfjsNetwork {
  /** Everything, by PyTorch's names: parameters as variables, running statistics as tensors. */
  readonly state: ReadonlyMap<string, tf.Tensor>;
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  /** Logits; in training batch norm takes the batch's statistics. */
  forward(images: tf.Tensor4D, training: boolean): tf.Tensor2D;
  /** A parameter (or its gradient) in PyTorch's layout. */
  toPyTorch(name: string, tensor: tf.Tensor): Promise<Float32Array>;
}

export function loadNetwork(config: NetworkWorkload): TfjsNetwork {
  const start = network(config);
  const state = new Map<string, tf.Tensor>();
  const parameters = new Map<string, tf.Variable>();
  for (const [name, values] of start.state) {
    const { shape, data } = toEngineLayout(values);
    const tensor = tf.tensor(data, [...shape]);
    if (isStatistic(name)) state.set(name, tensor);
    else {
      const variable = tf.variable(tensor);
      tensor.dispose();
      parameters.set(name, variable);
      state.set(name, variable);
    }
  }
  const vector = (name: string) => state.get(name) as tf.Tensor1D;
  const conv = (x: tf.Tensor4D, name: string, stride: number) => {
    const filter = state.get(`${name}.weight`) as tf.Tensor4D;
    return tf.conv2d(x, filter, stride, (filter.shape[0] - 1) / 2);
  };
  const activate = (x: tf.Tensor4D, name: string, training: boolean): tf.Tensor4D => {
    const { mean, variance } = training
      ? tf.moments(x, [0, 1, 2])
      : { mean: vector(`${name}.running_mean`), variance: vector(`${name}.running_var`) };
    const normalised = tf.batchNorm4d(
      x,
      mean as tf.Tensor1D,
      variance as tf.Tensor1D,
      vector(`${name}.bias`),
      vector(`${name}.weight`),
      1e-5,
    );
    return tf.relu(normalised);
  };
  return {
    state,
    parameters,
    forward(images, training) {
      let x = conv(images, 'conv1', 1);
      for (const { name, inChannels, outChannels, stride } of blocksOf(config)) {
        const activated = activate(x, `${name}.bn1`, training);
        const shortcut = inChannels === outChannels ? x : conv(activated, `${name}.convShortcut`, stride);
        const hidden = conv(activated, `${name}.conv1`, stride);
        x = tf.add(conv(activate(hidden, `${name}.bn2`, training), `${name}.conv2`, 1), shortcut);
      }
      const features = tf.mean<tf.Tensor2D>(activate(x, 'bn1', training), [1, 2]);
      return tf.add(tf.matMul(features, state.get('fc.weight') as tf.Tensor2D, false, true), vector('fc.bias'));
    },
    async toPyTorch(name, tensor) {
      const data = (await tensor.data()) as Float32Array;
      return start.state.get(name)!.shape.length === 4 ? toPyTorchLayout({ shape: tensor.shape, data }).data : data;
    },
  };
}
