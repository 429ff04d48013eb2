import { DataError, UsageError } from '../errors.js';
import { type NdArray, quote, toFloat32 } from '../formats/array.js';
import { type Shape, showShape, sizeOf } from '../graph/graph.js';
import type { Normalization } from '../kernels/gather-images.js';

/** A WideResNet's size: depth 6n + 4, width factor k (channels 16k, 32k, 64k), number of classes. */
export interface WideResNetConfig {
  readonly depth: number;
  readonly width: number;
  readonly classes: number;
}

/** A float32 tensor on the CPU, row-major. */
export interface Values {
  readonly shape: Shape;
  readonly data: Float32Array;
}

/** A network as data: its size, how its pixels are normalised, and its state under PyTorch's names and in PyTorch's layouts. */
export interface Network {
  readonly config: WideResNetConfig;
  readonly normalization: Normalization;
  /** Parameters and running statistics: convolutions [out, in, kh, kw], fc [classes, features], the rest [channels]. */
  readonly state: ReadonlyMap<string, Values>;
  /** Training batches seen: PyTorch's num_batches_tracked. */
  readonly batchesTracked: number;
  readonly classNames?: readonly string[] | undefined;
}

/** Blocks in each of the three groups. */
export const blocksPerGroup = ({ depth }: WideResNetConfig): number => (depth - 4) / 6;

/** @throws UsageError for a depth that is not 6n + 4, or a width or number of classes that is not positive. */
export function checkConfig({ depth, width, classes }: WideResNetConfig): void {
  if (!Number.isInteger((depth - 4) / 6) || depth < 10) {
    throw new UsageError(`depth ${depth} is not 6n + 4: use 10, 16, 22, 28, 34, 40 ..`);
  }
  if (!Number.isInteger(width) || width < 1) throw new UsageError(`width ${width} is not a positive integer`);
  if (!Number.isInteger(classes) || classes < 2) throw new UsageError(`${classes} classes: there must be at least 2`);
}

/** One residual block of the network. */
export interface Block {
  readonly name: string;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly stride: number;
}

/** The blocks in order, by PyTorch's names. */
export function blocksOf(config: WideResNetConfig): Block[] {
  const blocks: Block[] = [];
  let inChannels = 16;
  for (let group = 0; group < 3; group++) {
    const outChannels = 16 * config.width * 2 ** group;
    for (let i = 0; i < blocksPerGroup(config); i++) {
      const stride = group > 0 && i === 0 ? 2 : 1;
      blocks.push({ name: `block${group + 1}.layer.${i}`, inChannels, outChannels, stride });
      inChannels = outChannels;
    }
  }
  return blocks;
}

/** Channels of the last group: the features, input of fc. */
export const featuresOf = (config: WideResNetConfig): number => 64 * config.width;

/** What the state of a network holds, in PyTorch's names and layouts and in PyTorch's order, without num_batches_tracked. */
export function stateShapes(config: WideResNetConfig): Map<string, Shape> {
  const shapes = new Map<string, Shape>([['conv1.weight', [16, 3, 3, 3]]]);
  const batchNorm = (name: string, channels: number) => {
    for (const field of BATCH_NORM_FIELDS) shapes.set(`${name}.${field}`, [channels]);
  };
  for (const { name, inChannels, outChannels } of blocksOf(config)) {
    batchNorm(`${name}.bn1`, inChannels);
    shapes.set(`${name}.conv1.weight`, [outChannels, inChannels, 3, 3]);
    batchNorm(`${name}.bn2`, outChannels);
    shapes.set(`${name}.conv2.weight`, [outChannels, outChannels, 3, 3]);
    if (inChannels !== outChannels) shapes.set(`${name}.convShortcut.weight`, [outChannels, inChannels, 1, 1]);
  }
  batchNorm('bn1', featuresOf(config));
  shapes.set('fc.weight', [config.classes, featuresOf(config)]);
  shapes.set('fc.bias', [config.classes]);
  return shapes;
}

const BATCH_NORM_FIELDS = ['weight', 'bias', 'running_mean', 'running_var'] as const;

/** Running statistics are state, but not parameters: no gradient reaches them. */
export const isStatistic = (name: string): boolean => /\.running_(mean|var)$/.test(name);

/** How many parameters a network has (running statistics are none). */
export function parameterCount(config: WideResNetConfig): number {
  let count = 0;
  for (const [name, shape] of stateShapes(config)) if (!isStatistic(name)) count += sizeOf(shape);
  return count;
}

/**
 * A network from a state dict: depth, width and classes are read off the tensors, every tensor is checked.
 * @param tensors by PyTorch's names, of any floating-point type; num_batches_tracked may be missing, as in old files
 * @param source what to call the file in messages
 * @throws DataError where a tensor is missing, unknown, of a wrong shape, or has NaN or infinite values
 */
export function networkFromState(
  tensors: ReadonlyMap<string, NdArray>,
  source: string,
  options: { normalization: Normalization; classNames?: readonly string[] | undefined },
): Network {
  const config = inferConfig(tensors, source);
  const state = new Map<string, Values>();
  for (const [name, shape] of stateShapes(config)) {
    const tensor = tensors.get(name);
    if (!tensor)
      throw new DataError(
        `${source}: ${describe(config)} needs the tensor ${name}, which is missing: save the whole state dict`,
      );
    if (showShape(tensor.shape) !== showShape(shape)) {
      throw new DataError(
        `${source}: ${name} is ${showShape(tensor.shape)}, but ${describe(config)} needs ${showShape(shape)}`,
      );
    }
    if (!/^b?float\d+$/.test(tensor.dtype))
      throw new DataError(
        `${source}: ${name} is ${tensor.dtype}, but must be floating point: save the network unquantised`,
      );
    const data = Float32Array.from(toFloat32(tensor));
    const bad = data.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0)
      throw new DataError(
        `${source}: ${quote(name)} holds ${data[bad]} at element ${bad}: the file is damaged, or its training diverged; give another`,
      );
    state.set(name, { shape, data });
  }
  for (const name of tensors.keys()) {
    if (!state.has(name) && !name.endsWith('.num_batches_tracked')) {
      throw new DataError(
        `${source}: ${describe(config)} has no tensor ${quote(name)}: is this another kind of network?`,
      );
    }
  }
  return { config, state, batchesTracked: readBatchesTracked(tensors, source), ...options };
}

function readBatchesTracked(tensors: ReadonlyMap<string, NdArray>, source: string): number {
  const name = 'bn1.num_batches_tracked';
  const batches = Number(tensors.get(name)?.data[0] ?? 0);
  if (!Number.isSafeInteger(batches) || batches < 0)
    throw new DataError(
      `${source}: ${name} is ${batches}, but must be a whole number of 0 or more: the file is damaged`,
    );
  return batches;
}

const describe = ({ depth, width, classes }: WideResNetConfig) => `a WRN-${depth}-${width} of ${classes} classes`;

function inferConfig(tensors: ReadonlyMap<string, NdArray>, source: string): WideResNetConfig {
  const first = tensors.get('block1.layer.0.conv1.weight');
  const fc = tensors.get('fc.weight');
  if (!first || !fc || first.shape.length !== 4 || fc.shape.length !== 2) {
    const example = [...tensors.keys()].slice(0, 3).join(', ') || 'nothing';
    throw new DataError(
      `${source} is not a WideResNet: it has no 4-d block1.layer.0.conv1.weight and 2-d fc.weight (it holds ${quote(example)}); energate takes WideResNets alone`,
    );
  }
  let blocks = 0;
  while (tensors.has(`block1.layer.${blocks}.conv1.weight`)) blocks++;
  const config = { depth: 6 * blocks + 4, width: first.shape[0]! / 16, classes: fc.shape[0]! };
  try {
    checkConfig(config);
  } catch (error) {
    throw new DataError(`${source} is not a WideResNet: ${(error as Error).message}`);
  }
  return config;
}

/** The state as PyTorch saves it: with num_batches_tracked beside each running_var. */
export function stateDictOf(network: Network): Map<string, NdArray> {
  const tensors = new Map<string, NdArray>();
  for (const [name, { shape, data }] of network.state) {
    tensors.set(name, { dtype: 'float32', shape, data });
    if (name.endsWith('.running_var')) {
      const tracked = name.replace('running_var', 'num_batches_tracked');
      tensors.set(tracked, { dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(network.batchesTracked)) });
    }
  }
  return tensors;
}
