import { grad, jit, lax, nn, numpy as np, tree, valueAndGrad } from '@jax-js/jax';
import { conv2dOutput } from '../../src/kernels/conv2d.js';
import { labels, oneHot, scaled, uniform } from '../inputs.js';
import { LOSS, type Mixed, SGD, type Task, type Tasks, type Workloads } from '../workloads.js';
import { HWIO_TO_OIHW, NCHW_TO_NHWC, NHWC_TO_NCHW, OIHW_TO_HWIO, permute } from './jax-layouts.js';
import { evaluate, loadNetwork, train } from './jax-wide-resnet.js';
import { concatenate, normalisedImages } from './weights.js';

// jax-js counts references: a function consumes its arguments, and `x.ref` is one more reference to x.

type Finish = () => Promise<undefined>;

const array = (data: Float32Array<ArrayBuffer>, shape: number[]): np.Array => np.array(data, { shape });

/**
 * Hand the work behind some results to the GPU, and drop them. jax-js is lazy: what is dropped unread is never computed.
 * Consumes its arguments.
 */
function dispatch(results: np.Array[]): void {
  for (const result of results) result.gpuBufferSync();
}

/** A task that computes arrays from `inputs`, which it leaves alone. `shape` brings each result into energate's layout. */
function task(
  finish: Finish,
  inputs: np.Array[],
  compute: (...inputs: np.Array[]) => np.Array[],
  layout: (data: Float32Array, index: number) => Float32Array = (data) => data,
): Task {
  const compiled = jit(compute);
  const once = () => compiled(...inputs.map((input) => input.ref)) as np.Array[];
  return {
    async run(times) {
      for (let i = 0; i < times; i++) dispatch(once());
      await finish();
    },
    async outputs() {
      const values = await Promise.all(once().map((result) => result.data()));
      return values.map((data, i) => layout(data as Float32Array, i));
    },
    dispose: () => tree.dispose(inputs),
  };
}

/** All tasks. */
export function jaxTasks(finish: Finish): Tasks {
  return {
    relu: ({ size }) => task(finish, [array(uniform(size, 1), [size])], (x) => [nn.relu(x)]),
    matmul: ({ m, n, k }) =>
      task(finish, [array(uniform(m * k, 1), [m, k]), array(uniform(k * n, 2), [k, n])], (a, b) => [np.matmul(a, b)]),
    conv2d: (parameters) => convolution(finish, parameters),
    batchNorm: (parameters) => batchNorm(finish, parameters),
    energyLoss({ inCount, outCount, classes }) {
      const logits = array(scaled((inCount + outCount) * classes, 1, 4), [inCount + outCount, classes]);
      const targets = array(oneHot(labels(inCount, classes), classes), [inCount, classes]);
      const lossAndGradient = valueAndGrad((x: np.Array, t: np.Array) => energyLoss(x, t, { inCount, outCount }));
      return task(finish, [logits, targets], (x, t) => {
        const [loss, gradient] = lossAndGradient(x, t) as [np.Array, np.Array];
        return [gradient, loss];
      });
    },
    sgd({ size }) {
      const inputs = [1, 2, 3].map((seed) => array(uniform(size, seed), [size]));
      return task(finish, inputs, (w, gradient, velocity) => update(w, gradient, velocity));
    },
    step: (parameters) => step(finish, parameters),
    score({ batch, ...config }) {
      const { state } = loadNetwork(config);
      const images = array(permute(normalisedImages(batch, 0), [batch, 32, 32, 3], NHWC_TO_NCHW), [batch, 3, 32, 32]);
      const forward = jit((state: Record<string, np.Array>, x: np.Array) => evaluate(config, state, x));
      const logits = async () => (await (forward(tree.ref(state), images.ref) as np.Array).data()) as Float32Array;
      return {
        async run(times) {
          for (let i = 0; i < times; i++) await logits();
        },
        outputs: async () => [await logits()],
        dispose: () => tree.dispose([state, images]),
      };
    },
  };
}

function convolution(finish: Finish, { direction, ...shape }: Workloads['conv2d']): Task {
  const { batch, inHeight, inWidth, inChannels, outChannels, kernel, stride } = shape;
  const { height, width } = conv2dOutput(shape);
  const input = (seed: number, from: number[], axes: readonly number[]) =>
    array(
      permute(
        uniform(
          from.reduce((a, b) => a * b, 1),
          seed,
        ),
        from,
        axes,
      ),
      axes.map((axis) => from[axis]),
    );
  const x = input(1, [batch, inHeight, inWidth, inChannels], NHWC_TO_NCHW);
  const w = input(2, [kernel, kernel, inChannels, outChannels], HWIO_TO_OIHW);
  const dy = input(3, [batch, height, width, outChannels], NHWC_TO_NCHW);
  const pad: [number, number] = [(kernel - 1) / 2, (kernel - 1) / 2];
  const conv = (x: np.Array, w: np.Array) => lax.conv(x, w, [stride, stride], [pad, pad]);
  const nhwc = (channels: number, h: number, w: number) => (data: Float32Array) =>
    permute(data, [batch, channels, h, w], NCHW_TO_NHWC);
  if (direction === 'forward') {
    dy.dispose();
    return task(finish, [x, w], (x, w) => [conv(x, w)], nhwc(outChannels, height, width));
  }
  // The gradient of sum(y dy); jit drops the forward pass, whose result nobody reads.
  const product = (x: np.Array, w: np.Array, dy: np.Array) => np.sum(conv(x, w).mul(dy));
  const argnums = direction === 'backward-data' ? 0 : 1;
  const gradient = grad(product, { argnums });
  const layout =
    direction === 'backward-data'
      ? nhwc(inChannels, inHeight, inWidth)
      : (data: Float32Array) => permute(data, [outChannels, inChannels, kernel, kernel], OIHW_TO_HWIO);
  return task(finish, [x, w, dy], (x, w, dy) => [gradient(x, w, dy) as np.Array], layout);
}

function batchNorm(finish: Finish, { batch, side, channels, backward }: Workloads['batchNorm']): Task {
  const activations = (seed: number) =>
    array(permute(uniform(batch * side * side * channels, seed), [batch, side, side, channels], NHWC_TO_NCHW), [
      batch,
      channels,
      side,
      side,
    ]);
  const inputs = [activations(1), array(uniform(channels, 2), [channels]), array(uniform(channels, 3), [channels])];
  const nhwc = (data: Float32Array) =>
    data.length === channels ? data : permute(data, [batch, channels, side, side], NCHW_TO_NHWC);
  if (!backward) return task(finish, inputs, (x, gamma, beta) => [train.activate(x, gamma, beta)], nhwc);
  const product = (x: np.Array, gamma: np.Array, beta: np.Array, dy: np.Array): [np.Array, np.Array] => {
    const y = train.activate(x, gamma, beta);
    return [np.sum(y.ref.mul(dy)), y];
  };
  const gradients = valueAndGrad(product, { argnums: [0, 1, 2], hasAux: true });
  return task(
    finish,
    [...inputs, activations(4)],
    (x, gamma, beta, dy) => {
      const [[sum, y], gradient] = gradients(x, gamma, beta, dy) as unknown as [[np.Array, np.Array], np.Array[]];
      sum.dispose();
      return [y, ...gradient];
    },
    nhwc,
  );
}

/** Liu et al. 2020. `targets` is one-hot. */
function energyLoss(logits: np.Array, targets: np.Array, { inCount, outCount }: Mixed): np.Array {
  const negativeEnergy = nn.logsumexp(logits.ref, 1);
  const inside = negativeEnergy.ref.slice([0, inCount]);
  const outside = negativeEnergy.slice([inCount, inCount + outCount]);
  const chosen = np.sum(logits.slice([0, inCount]).mul(targets), 1);
  const crossEntropy = np.mean(inside.ref.sub(chosen));
  const hingeIn = np.mean(np.square(nn.relu(inside.neg().sub(LOSS.mIn))));
  const hingeOut = np.mean(np.square(nn.relu(outside.add(LOSS.mOut))));
  return crossEntropy.add(hingeIn.add(hingeOut).mul(LOSS.lambda));
}

/** PyTorch's Nesterov momentum with weight decay: the new parameters and velocity. */
function update(w: np.Array, gradient: np.Array, velocity: np.Array): [np.Array, np.Array] {
  const g = gradient.add(w.ref.mul(SGD.weightDecay));
  const v = velocity.mul(SGD.momentum).add(g.ref);
  return [w.sub(g.add(v.ref.mul(SGD.momentum)).mul(SGD.learningRate)), v];
}

type Parameters = Record<string, np.Array>;

function step(finish: Finish, { inCount, outCount, ...config }: Workloads['step']): Task {
  const network = loadNetwork(config);
  tree.dispose(network.state);
  let { parameters } = network;
  let velocity: Parameters = Object.fromEntries(
    Object.entries(parameters).map(([name, w]) => [name, np.zeros(w.shape)]),
  );
  const count = inCount + outCount;
  const images = array(permute(normalisedImages(inCount, outCount), [count, 32, 32, 3], NHWC_TO_NCHW), [
    count,
    3,
    32,
    32,
  ]);
  const targets = array(oneHot(labels(inCount, config.classes), config.classes), [inCount, config.classes]);
  const lossAndGradients = valueAndGrad((p: Parameters, x: np.Array, t: np.Array) =>
    energyLoss(train.forward(config, p, x), t, { inCount, outCount }),
  );
  const compiled = jit((p: Parameters, v: Parameters, x: np.Array, t: np.Array): [np.Array, Parameters, Parameters] => {
    const [loss, gradients] = lossAndGradients(tree.ref(p), x, t) as [np.Array, Parameters];
    const newP: Parameters = {};
    const newV: Parameters = {};
    for (const name of Object.keys(p)) [newP[name], newV[name]] = update(p[name], gradients[name], v[name]);
    return [loss, newP, newV];
  });
  const one = (): np.Array => {
    const [loss, p, v] = compiled(parameters, velocity, images.ref, targets.ref) as [np.Array, Parameters, Parameters];
    parameters = p;
    velocity = v;
    return loss;
  };
  return {
    async run(times) {
      for (let i = 0; i < times; i++)
        dispatch([one(), ...Object.values(tree.ref(parameters)), ...Object.values(tree.ref(velocity))]);
      await finish();
    },
    async outputs() {
      const loss = (await one().data()) as Float32Array;
      const gradients = await Promise.all(Object.values(velocity).map((v) => v.ref.data()));
      return [loss, concatenate(gradients as Float32Array[])];
    },
    dispose: () => tree.dispose([parameters, velocity, images, targets]),
  };
}
