import { stream } from '../data/random.js';
import type { Tensor } from '../graph/graph.js';
import { type BatchStatistics, batchNorm, batchNormTraining } from '../graph/ops/batch-norm.js';
import { conv2d, conv2dActivated } from '../graph/ops/conv2d.js';
import { matmul } from '../graph/ops/matmul.js';
import { globalAveragePool } from '../graph/ops/pool.js';
import type { Normalization } from '../kernels/gather-images.js';
import {
  blocksOf,
  checkConfig,
  isStatistic,
  type Network,
  stateShapes,
  type Values,
  type WideResNetConfig,
} from './network.js';

/**
 * A WideResNet (Zagoruyko & Komodakis 2016) with fresh weights: convolutions N(0, 2 / (kh kw out)), batch norm 1 and 0, fc
 * weight U(±1 / sqrt(in)) and bias 0. The same seed gives the same weights on every machine.
 * @throws UsageError for a size that no WideResNet has
 */
export function wideResNet(
  config: WideResNetConfig,
  options: { seed: number; normalization: Normalization; classNames?: readonly string[] | undefined },
): Network {
  checkConfig(config);
  const { seed, normalization, classNames } = options;
  const state = new Map<string, Values>();
  for (const [name, shape] of stateShapes(config)) {
    const data = new Float32Array(shape.reduce((product, n) => product * n, 1));
    const random = stream(seed, 'initial weights', name);
    if (shape.length === 4) {
      const deviation = Math.sqrt(2 / (shape[2]! * shape[3]! * shape[0]!));
      for (let i = 0; i < data.length; i++) data[i] = deviation * random.normal();
    } else if (name === 'fc.weight') {
      const bound = 1 / Math.sqrt(shape[1]!);
      for (let i = 0; i < data.length; i++) data[i] = bound * (2 * random.uniform() - 1);
    } else if (name.endsWith('.running_var') || /bn\d\.weight$/.test(name)) {
      data.fill(1);
    }
    state.set(name, { shape, data });
  }
  return { config, normalization, state, batchesTracked: 0, classNames };
}

/** How a network's state appears in a graph: parameters in the engine's layouts (see `toEngineLayout`). */
export type StateTensors = (name: string) => Tensor;

/** Training mode: batch statistics, and dropout between the convolutions of a block. */
export interface TrainingMode {
  readonly dropout: number;
  /** The step of block number `block`'s dropout: u32 [4], number, seed, .., {@link dropoutStream}. */
  readonly step: (block: number) => Tensor;
  /** Takes each batch norm's statistics, for the running ones. */
  readonly record: (batchNorm: string, statistics: BatchStatistics) => void;
}

/**
 * The forward pass, in a graph: pre-activation residual blocks; where channels change, the shortcut is a 1x1 convolution of
 * the activated input. Batch norm, ReLU and dropout are one op, the residual is added as conv2 stores.
 * @param images [batch, 32, 32, 3], normalised
 * @param training absent in evaluation, where the running statistics normalise
 * @returns features [batch, 64 width] (the input of fc) and logits [batch, classes]
 */
export function wideResNetForward(
  images: Tensor,
  config: WideResNetConfig,
  state: StateTensors,
  training?: TrainingMode,
): { features: Tensor; logits: Tensor } {
  const activate = (name: string, x: Tensor, block?: number): Tensor => {
    const parameters = { gamma: state(`${name}.weight`), beta: state(`${name}.bias`) };
    if (!training) {
      const running = { mean: state(`${name}.running_mean`), variance: state(`${name}.running_var`) };
      return batchNorm(x, running, parameters, { relu: true });
    }
    const { dropout: rate, step } = training;
    const dropout = block === undefined ? {} : { dropout: { rate, step: step(block) } };
    const { y, statistics } = batchNormTraining(x, parameters, { relu: true, ...dropout });
    training.record(name, statistics);
    return y;
  };

  let x = conv2d(images, state('conv1.weight'), { stride: 1 });
  blocksOf(config).forEach(({ name, inChannels, outChannels, stride }, index) => {
    const activated = activate(`${name}.bn1`, x);
    const hidden = conv2d(activated, state(`${name}.conv1.weight`), { stride });
    const normalised = activate(`${name}.bn2`, hidden, index);
    // Here, so that its backward pass comes right after conv2's, and can run beside it.
    const residual =
      inChannels === outChannels ? x : conv2d(activated, state(`${name}.convShortcut.weight`), { stride });
    x = conv2d(normalised, state(`${name}.conv2.weight`), { stride: 1, residual });
  });
  const features = globalAveragePool(activate('bn1', x));
  return { features, logits: matmul(features, state('fc.weight'), { transposeB: true, bias: state('fc.bias') }) };
}

/**
 * The forward pass in evaluation as {@link wideResNetForward} makes it, with every batch norm and ReLU folded into the
 * convolution before it: the same mathematics, and nothing but convolutions, a mean and a product.
 * @param images [batch, 32, 32, 3], normalised
 * @param affine [2, channels] of a batch norm by its name (see `foldBatchNorms`)
 */
export function foldedForward(
  images: Tensor,
  config: WideResNetConfig,
  state: StateTensors,
  affine: (batchNorm: string) => Tensor,
): { features: Tensor; logits: Tensor } {
  const blocks = blocksOf(config);
  const isIdentity = (i: number) => blocks[i] !== undefined && blocks[i].inChannels === blocks[i].outChannels;
  // What follows the sum that enters block i; its shortcut wants the sum itself where it is the identity.
  const into = (i: number) => ({
    affine: affine(blocks[i] ? `${blocks[i].name}.bn1` : 'bn1'),
    keep: isIdentity(i),
  });
  let x = conv2dActivated(images, state('conv1.weight'), { stride: 1, ...into(0) });
  blocks.forEach(({ name, stride }, i) => {
    const residual = x.sum ?? conv2d(x.activated, state(`${name}.convShortcut.weight`), { stride });
    const hidden = conv2dActivated(x.activated, state(`${name}.conv1.weight`), {
      stride,
      affine: affine(`${name}.bn2`),
    });
    x = conv2dActivated(hidden.activated, state(`${name}.conv2.weight`), { stride: 1, residual, ...into(i + 1) });
  });
  const features = globalAveragePool(x.activated);
  return { features, logits: matmul(features, state('fc.weight'), { transposeB: true, bias: state('fc.bias') }) };
}

/** The random stream of a block's dropout. Those below belong to augmentation, one a source of images. */
export const dropoutStream = (block: number): number => 16 + block;

/** From PyTorch's layout of a state tensor to the engine's: convolutions become [kh, kw, in, out], the rest stays. */
export function toEngineLayout({ shape, data }: Values): Values {
  return shape.length === 4 ? permute(shape as Shape4, data, [2, 3, 1, 0]) : { shape, data };
}

/** From the engine's layout to PyTorch's: the inverse of {@link toEngineLayout}. */
export function toPyTorchLayout({ shape, data }: Values): Values {
  return shape.length === 4 ? permute(shape as Shape4, data, [3, 2, 0, 1]) : { shape, data };
}

type Shape4 = readonly [number, number, number, number];

function permute(shape: Shape4, data: Float32Array, axes: Shape4): Values {
  const strides = [shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1] as const;
  const [a, b, c, d] = axes.map((axis) => shape[axis]!) as unknown as Shape4;
  const [sa, sb, sc, sd] = axes.map((axis) => strides[axis]!) as unknown as Shape4;
  const out = new Float32Array(data.length);
  let at = 0;
  for (let i = 0; i < a; i++)
    for (let j = 0; j < b; j++)
      for (let k = 0; k < c; k++) for (let l = 0; l < d; l++) out[at++] = data[i * sa + j * sb + k * sc + l * sd]!;
  return { shape: [a, b, c, d], data: out };
}

/** The names of the parameters, and of the running statistics, in PyTorch's order. */
export function stateNames(config: WideResNetConfig): { parameters: string[]; statistics: string[] } {
  const names = [...stateShapes(config).keys()];
  return { parameters: names.filter((name) => !isStatistic(name)), statistics: names.filter(isStatistic) };
}
