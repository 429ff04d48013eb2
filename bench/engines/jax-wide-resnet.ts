import { lax, nn, numpy as np } from '@jax-js/jax';
import { blocksOf, isStatistic } from '../../src/nn/network.js';
import type { NetworkWorkload } from '../workloads.js';
import { network } from './weights.js';

// Every function consumes its arguments, as jax-js's do; parameters are consumed once each.

/** Tensors by PyTorch's names, in PyTorch's layouts. */
type State = Record<string, np.Array>;

export function loadNetwork(config: NetworkWorkload): { state: State; parameters: State } {
  const state: State = {};
  const parameters: State = {};
  for (const [name, { shape, data }] of network(config).state) {
    state[name] = np.array(data.slice(), { shape: [...shape] });
    if (!isStatistic(name)) parameters[name] = state[name].ref;
  }
  return { state, parameters };
}

const perChannel = (x: np.Array): np.Array => x.reshape([1, -1, 1, 1]);

/** relu((x - mean) / sqrt(variance + epsilon) gamma + beta), NCHW; all but x are [channels]. */
function normalise(x: np.Array, mean: np.Array, variance: np.Array, gamma: np.Array, beta: np.Array): np.Array {
  const scale = gamma.div(np.sqrt(variance.add(1e-5)));
  return nn.relu(x.sub(perChannel(mean)).mul(perChannel(scale)).add(perChannel(beta)));
}

/** Batch norm with the batch's statistics, and ReLU. */
function activate(x: np.Array, gamma: np.Array, beta: np.Array): np.Array {
  const mean = np.mean(x.ref, [0, 2, 3]);
  const variance = np.mean(np.square(x.ref.sub(perChannel(mean.ref))), [0, 2, 3]);
  return normalise(x, mean, variance, gamma, beta);
}

function conv(x: np.Array, w: np.Array, stride: number): np.Array {
  const pad = (w.shape[2] - 1) / 2;
  return lax.conv(
    x,
    w,
    [stride, stride],
    [
      [pad, pad],
      [pad, pad],
    ],
  );
}

/** Logits of images [batch, 3, 32, 32]. */
function forward(
  config: NetworkWorkload,
  p: State,
  images: np.Array,
  activateBy: (name: string, x: np.Array) => np.Array,
): np.Array {
  let x = conv(images, p['conv1.weight'], 1);
  for (const { name, inChannels, outChannels, stride } of blocksOf(config)) {
    let shortcut = x.ref;
    const activated = activateBy(`${name}.bn1`, x);
    if (inChannels !== outChannels) {
      shortcut.dispose();
      shortcut = conv(activated.ref, p[`${name}.convShortcut.weight`], stride);
    }
    const hidden = conv(activated, p[`${name}.conv1.weight`], stride);
    x = conv(activateBy(`${name}.bn2`, hidden), p[`${name}.conv2.weight`], 1).add(shortcut);
  }
  const features = np.mean(activateBy('bn1', x), [2, 3]);
  return np.matmul(features, np.transpose(p['fc.weight'])).add(p['fc.bias']);
}

/** In training mode. */
export const train = {
  activate,
  forward: (config: NetworkWorkload, p: State, images: np.Array): np.Array =>
    forward(config, p, images, (name, x) => activate(x, p[`${name}.weight`], p[`${name}.bias`])),
};

/** In evaluation mode. */
export const evaluate = (config: NetworkWorkload, p: State, images: np.Array): np.Array =>
  forward(config, p, images, (name, x) =>
    normalise(x, p[`${name}.running_mean`], p[`${name}.running_var`], p[`${name}.weight`], p[`${name}.bias`]),
  );
