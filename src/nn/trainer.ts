import { type DeviceImages, imageSource, uploadImages } from '../data/device-images.js';
import { Feed } from '../data/feed.js';
import { type ImageProperties, type Images, requireLabels, sourceOf } from '../data/image-set.js';
import { Sampler } from '../data/sampler.js';
import { DataError, DivergenceError, UsageError } from '../errors.js';
import { Buffers } from '../gpu/buffers.js';
import type { Engine, Storage } from '../gpu/engine.js';
import { gradients } from '../graph/differentiate.js';
import { Graph, sizeOf, type Tensor, VIEW_ALIGNMENT } from '../graph/graph.js';
import { requireRate } from '../graph/ops/elementwise.js';
import {
  energyLoss,
  LOG_WIDTH,
  lossStatistics,
  type Regulariser,
  requireRegulariser,
} from '../graph/ops/energy-loss.js';
import { type GatherSource, gatherImages } from '../graph/ops/gather-images.js';
import { pack, sgd, updateRunningStatistics } from '../graph/ops/optimiser.js';
import { Program, requireFloat16 } from '../graph/program.js';
import { packArena, type StateLayout, stateInputs, stateLayout, unpackArena, uploadState } from './device-state.js';
import { blocksOf, type Network, type Values } from './network.js';
import { cosineRate } from './schedule.js';
import { dropoutStream, wideResNetForward } from './wide-resnet.js';

/** How a network is trained. Everything here but the data decides the result to the last bit on one adapter. */
export interface TrainingOptions {
  /** Updates in all. */
  readonly steps: number;
  /** In-distribution images a step. */
  readonly batch: number;
  /** Outlier images a step, in the same forward pass; 0 without outliers. */
  readonly outlierBatch: number;
  /** What outliers add to the loss; absent for plain cross-entropy. */
  readonly regulariser?: Regulariser | undefined;
  /** Base learning rate of the cosine schedule. */
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** Probability, between a block's convolutions. */
  readonly dropout: number;
  /** Random flips and crops. */
  readonly augment: boolean;
  /** A new order each epoch, or the sets' own order. */
  readonly shuffle: boolean;
  /** Of data order, augmentation and dropout; a 32-bit whole number. */
  readonly seed: number;
  /**
   * Store activations and their gradients as float16, with a loss scale; sums, parameters and their update stay float32. It needs
   * a device with `shader-f16`, and is fastest on an engine that was opened with `float16`.
   */
  readonly float16?: boolean | undefined;
}

/** What the published code uses where this does not say otherwise (PROTOCOL: SGD, Nesterov 0.9, weight decay on everything). */
export const OPTIMISER = { momentum: 0.9, weightDecay: 5e-4 } as const;

/** PyTorch's batch-norm momentum. */
const STATISTICS_MOMENTUM = 0.1;

/** Figures of one step; means over the batch, energies in nats. Where there are no outliers, `energy_out` is 0. */
export interface StepLog {
  readonly step: number;
  readonly lr: number;
  /** cross_entropy + regulariser */
  readonly loss: number;
  readonly cross_entropy: number;
  /** The outlier term times lambda. */
  readonly regulariser: number;
  readonly energy_in: number;
  readonly energy_out: number;
  /** Of the in-distribution part of this batch. */
  readonly accuracy: number;
}

/** All that a run needs to go on as if it had never stopped, beside its options and data. */
export interface TrainingState {
  readonly network: Network;
  /** Momentum buffers by parameter name, in PyTorch's layouts. */
  readonly velocity: ReadonlyMap<string, Values>;
  /** Steps done. */
  readonly step: number;
}

export interface TrainingData {
  /** Labelled. */
  readonly inDistribution: Images;
  readonly outliers?: Images | undefined;
}

/** Steps whose figures stay on the GPU until they are read. */
const LOG_CAPACITY = 64;
/** Steps submitted ahead of the one that is running. */
const STEPS_AHEAD = 2;
/** How often figures are read, at least, in milliseconds. */
const READ_INTERVAL = 250;
const NOT_HALTED = 0xffffffff;
/** From one row of `steps` to the next, as views lie. */
const STEP_WORDS = VIEW_ALIGNMENT;

/**
 * Trains or fine-tunes a network on the GPU: a fixed graph, compiled once; then each step is one submit of it. In-distribution and
 * outlier images go through one forward pass, so that batch statistics mix. Make one with {@link Trainer.create}.
 */
export class Trainer {
  readonly options: TrainingOptions;
  private readonly engine: Engine;
  private readonly base: Network;
  private readonly layout: StateLayout;
  private readonly program: Program;
  private readonly tensors: StepTensors;
  private readonly buffers: Buffers;
  private readonly labels: Int32Array;
  /** Of the in-distribution images, then of the outliers. */
  private readonly feeds: readonly Feed[];
  /** The step this trainer began after. */
  private readonly startedAt: number;
  private done: number;
  private logged: number;

  private constructor(parts: {
    options: TrainingOptions;
    engine: Engine;
    base: Network;
    layout: StateLayout;
    program: Program;
    tensors: StepTensors;
    buffers: Buffers;
    labels: Int32Array;
    feeds: readonly Feed[];
    step: number;
  }) {
    this.options = parts.options;
    this.engine = parts.engine;
    this.base = parts.base;
    this.layout = parts.layout;
    this.program = parts.program;
    this.tensors = parts.tensors;
    this.buffers = parts.buffers;
    this.labels = parts.labels;
    this.feeds = parts.feeds;
    this.startedAt = parts.step;
    this.done = parts.step;
    this.logged = parts.step;
  }

  /**
   * Upload data and state, and compile the step.
   * @param start a network to begin with, or the state of a run that is to go on
   * @throws UsageError for options that cannot be; DataError where labels do not fit the network; DeviceError past a limit;
   * FeatureError for float16 on a device without
   */
  static async create(
    engine: Engine,
    start: Network | TrainingState,
    data: TrainingData,
    options: TrainingOptions,
  ): Promise<Trainer> {
    const state = 'network' in start ? start : { network: start, velocity: undefined, step: 0 };
    const { network } = state;
    const labels = checkTraining(network, data, options);
    if (options.float16) requireFloat16(engine);

    const layout = stateLayout(network.config);
    const buffers = new Buffers(engine);
    try {
      const device = uploadState(buffers, layout, network);
      const velocity = buffers.upload(
        'velocity',
        state.velocity ? packArena(layout.parameters, state.velocity) : new Float32Array(layout.parameters.size),
      );
      const halted = buffers.upload('halted', Uint32Array.of(NOT_HALTED));
      const sets: { name: string; set: Images; rows: number }[] = [
        { name: 'in-distribution', set: data.inDistribution, rows: options.batch },
        ...(data.outliers && options.outlierBatch > 0
          ? [{ name: 'outliers', set: data.outliers, rows: options.outlierBatch }]
          : []),
      ];
      const images: DeviceImages[] = [];
      // One after the other: where one fails, no other goes on making buffers.
      for (const { set, rows } of sets) images.push(await uploadImages(buffers, set, rows));
      const { graph, bindings, ...tensors } = trainingStep(network, layout, images, data.inDistribution, options);
      const { seed, shuffle } = options;
      const feeds = sets.map(
        ({ name, set, rows }, i) => new Feed(engine, images[i]!, new Sampler(set.count, { seed, name, shuffle }), rows),
      );
      const program = await Program.compile(
        engine,
        graph,
        [],
        new Map([
          [tensors.parameters, device.parameters],
          [tensors.statistics, device.statistics],
          [tensors.velocity, velocity],
          [tensors.halted, halted],
          ...bindings,
        ]),
        { float16: options.float16 },
      );
      return new Trainer({
        options,
        engine,
        base: network,
        layout,
        program,
        tensors,
        buffers,
        labels,
        feeds,
        step: state.step,
      });
    } catch (error) {
      buffers.destroy();
      throw error;
    }
  }

  /** Steps submitted so far. */
  get step(): number {
    return this.done;
  }

  /** The compiled step, for its counts of dispatches and bytes. */
  get compiled(): Program {
    return this.program;
  }

  /**
   * Read the next step's images, where the sets are too large for the device; elsewhere there is nothing to wait for.
   * @throws DataError where they cannot be read
   */
  async ready(): Promise<void> {
    await Promise.all(this.feeds.map((feed) => feed.prepare(this.done)));
  }

  /**
   * Submit one step. Its figures come with {@link readLogs}.
   * @throws UsageError after the last step, where those of 64 steps have not been read, or {@link ready} was not awaited and had to be
   */
  submitStep(): void {
    if (this.done - this.logged >= LOG_CAPACITY)
      throw new UsageError(`the figures of ${LOG_CAPACITY} steps are waiting to be read: call readLogs() first`);
    const { learningRate, steps, seed } = this.options;
    if (this.done >= steps) throw new UsageError(`all ${steps} steps are done: make a trainer of more`);
    const loaded = this.feeds.map((feed) => feed.load(this.done));
    loaded.forEach(({ places }, i) => {
      this.program.write(this.tensors.indices[i]!, places);
    });
    this.program.write(
      this.tensors.labels,
      Uint32Array.from(loaded[0]!.indices, (index) => this.labels[index]!),
    );
    this.done++;
    const [rate] = new Uint32Array(Float32Array.of(cosineRate(learningRate, this.done, steps)).buffer);
    const { shape } = this.tensors.steps;
    const rows = new Uint32Array(sizeOf(shape));
    for (let row = 0; row < shape[0]!; row++) {
      rows.set([this.done, seed, rate!, row === 0 ? 0 : dropoutStream(row - 1)], row * STEP_WORDS);
    }
    this.program.write(this.tensors.steps, rows);
    this.program.run();
    if (this.done < steps) for (const feed of this.feeds) feed.prepare(this.done);
  }

  /**
   * The figures of the steps since the last call, after waiting for them: all of them, or those before one that diverged.
   * @throws DivergenceError where a loss or gradient was NaN or infinite; the state is still that before the step
   */
  async readLogs(): Promise<StepLog[]> {
    const { done } = this;
    const [log, halted] = await this.engine.read([
      this.program.storage(this.tensors.log),
      this.program.storage(this.tensors.halted),
    ]);
    const figures = new Float32Array(log!);
    const bad = new Uint32Array(halted!)[0]!;
    const logs: StepLog[] = [];
    for (; this.logged < done; this.logged++) {
      const step = this.logged + 1;
      const [loss, crossEntropy, regulariser, energyIn, energyOut, accuracy] = figures.subarray(
        (this.logged % LOG_CAPACITY) * LOG_WIDTH,
      );
      if (step === bad) {
        if (logs.length > 0) return logs; // the good steps first; the next call throws
        this.done = this.logged;
        throw new DivergenceError(
          `training diverged at step ${step}: the loss is ${loss}${Number.isFinite(loss) ? ', but a gradient or a batch statistic is not finite' : ''}; ` +
            `lower the learning rate (${this.options.learningRate}) or bring the margins nearer to the network's energies`,
        );
      }
      logs.push({
        step,
        lr: cosineRate(this.options.learningRate, step, this.options.steps),
        loss: loss!,
        cross_entropy: crossEntropy!,
        regulariser: regulariser!,
        energy_in: energyIn!,
        energy_out: energyOut!,
        accuracy: accuracy!,
      });
    }
    return logs;
  }

  /**
   * Run to the last step, or until `signal` is aborted (then it returns after the steps under way, and can be called again).
   * @param onLogs gets the figures of every step, in order, a few at a time
   * @throws DivergenceError as {@link readLogs}
   */
  async run(onLogs: (logs: readonly StepLog[]) => void | Promise<void>, signal?: AbortSignal): Promise<void> {
    const ahead: Promise<undefined>[] = [];
    let read = Date.now();
    while (this.done < this.options.steps && !signal?.aborted) {
      await this.ready();
      this.submitStep();
      ahead.push(this.engine.submitted());
      if (ahead.length > STEPS_AHEAD) await ahead.shift();
      if (Date.now() - read >= READ_INTERVAL || this.done - this.logged >= LOG_CAPACITY) {
        await onLogs(await this.readLogs());
        read = Date.now();
      }
    }
    do await onLogs(await this.readLogs());
    while (this.logged < this.done);
  }

  /** The network as trained so far. */
  async network(): Promise<Network> {
    return (await this.state()).network;
  }

  /** All that another trainer of the same options and data needs to go on from here. */
  async state(): Promise<TrainingState> {
    const { parameters, statistics, velocity, halted } = this.tensors;
    const step = this.done;
    const buffers = await this.engine.read(
      [parameters, statistics, velocity, halted].map((tensor) => this.program.storage(tensor)),
    );
    const [p, s, v] = buffers.map((buffer) => new Float32Array(buffer));
    // Steps that were submitted after one diverged have changed nothing.
    const good = Math.min(step, new Uint32Array(buffers[3]!)[0]! - 1);
    const { layout, base } = this;
    const unordered = new Map([...unpackArena(layout.parameters, p!), ...unpackArena(layout.statistics, s!)]);
    const state = new Map([...base.state.keys()].map((name) => [name, unordered.get(name)!]));
    return {
      network: { ...base, state, batchesTracked: base.batchesTracked + good - this.startedAt },
      velocity: unpackArena(layout.parameters, v!),
      step: good,
    };
  }

  /** Free the trainer's GPU memory. */
  destroy(): void {
    this.program.destroy();
    this.buffers.destroy();
  }
}

/** The inputs of a training step that the host fills or reads. */
interface StepTensors {
  readonly parameters: Tensor;
  readonly statistics: Tensor;
  readonly velocity: Tensor;
  readonly halted: Tensor;
  readonly log: Tensor;
  /** A row of number, seed, learning rate as float32 bits, stream: with stream 0, then of each block's dropout. */
  readonly steps: Tensor;
  readonly labels: Tensor;
  /** Of the in-distribution images, then of the outliers. */
  readonly indices: readonly Tensor[];
}

/**
 * By what gradients are multiplied on their way through float16, a power of two. Those of the logits are up to 1 / batch; by the
 * time they reach the first layers they are some ten thousand times smaller, and float16 has nothing between 0 and 6e-8.
 */
const lossScaleOf = (batch: number): number => 2 ** Math.round(Math.log2(32 * batch));

/** The graph of one training step (a {@link Trainer} compiles it): batch, forward, loss, gradients, update. */
export function trainingStep(
  network: Network,
  layout: StateLayout,
  images: readonly DeviceImages[],
  { height, width }: { height: number; width: number },
  options: TrainingOptions,
): StepTensors & { graph: Graph; bindings: readonly [Tensor, Storage][] } {
  const graph = new Graph();
  const { parameters, statistics, state } = stateInputs(graph, layout);
  const velocity = graph.input('velocity', [layout.parameters.size]);
  const halted = graph.input('halted', [1], 'u32');
  const log = graph.input('log', [LOG_CAPACITY, LOG_WIDTH]);
  // For every stream of dropout the same but for its number: so layers of one shape are one kernel.
  const steps = graph.input('steps', [1 + blocksOf(network.config).length, STEP_WORDS], 'u32');
  const rowOf = (name: string, row: number) => graph.view(steps, name, row * STEP_WORDS, [4]);
  const step = rowOf('step', 0);
  const labels = graph.input('labels', [options.batch], 'u32');

  const sources: GatherSource[] = [];
  const bindings: [Tensor, Storage][] = [];
  const rows = [options.batch, options.outlierBatch];
  images.forEach((set, i) => {
    const part = imageSource(graph, i === 0 ? 'in-distribution' : 'outlier', set, rows[i]!);
    sources.push(part.source);
    bindings.push(...part.bindings);
  });
  const batch = gatherImages(sources, step, {
    height,
    width,
    normalization: network.normalization,
    augment: options.augment,
  });

  const batchStatistics = new Map<string, Tensor>();
  const { logits } = wideResNetForward(batch, network.config, state, {
    dropout: options.dropout,
    step: (block) => rowOf(`step of block ${block}`, 1 + block),
    record: (name, { mean, unbiased }) => {
      batchStatistics.set(`${name}.running_mean`, mean);
      batchStatistics.set(`${name}.running_var`, unbiased);
    },
  });

  const mixed = { inCount: options.batch, outCount: options.outlierBatch };
  const { regulariser } = options;
  const lossScale = options.float16 ? lossScaleOf(options.batch) : 1;
  const { gradient, rows: figures } = energyLoss(logits, labels, mixed, regulariser, { lossScale });
  lossStatistics(figures, { ...mixed, lambda: regulariser?.lambda ?? 0 }, { step, log, halted });

  const packed = (arena: StateLayout['parameters'], tensors: readonly Tensor[]) =>
    pack(
      tensors,
      [...arena.entries.values()].map(({ offset }) => offset),
      arena.size,
    );
  const wanted = [...layout.parameters.entries.keys()].map(state);
  const gradientArena = packed(layout.parameters, gradients(logits, gradient, wanted));
  const { momentum, weightDecay } = options;
  const taken = [...layout.statistics.entries.keys()].map((name) => batchStatistics.get(name)!);
  const statisticsArena = packed(layout.statistics, taken);
  // An infinite variance normalises to zeros, which leave the loss and the gradients finite.
  const guard = { step, halted, finite: statisticsArena };
  sgd(parameters, gradientArena, velocity, guard, { momentum, weightDecay, lossScale });
  updateRunningStatistics(statistics, statisticsArena, { step, halted }, { momentum: STATISTICS_MOMENTUM });

  const indices = sources.map((source) => source.indices);
  return { graph, bindings, parameters, statistics, velocity, halted, log, steps, labels, indices };
}

/**
 * Refuse, without a GPU, what {@link Trainer.create} would refuse.
 * @returns the labels
 * @throws UsageError for options that cannot be; DataError where labels do not fit the network
 */
export function checkTraining(
  network: Network,
  { inDistribution, outliers }: TrainingData,
  options: TrainingOptions,
): Int32Array {
  const { batch, outlierBatch, regulariser, steps, dropout, learningRate, momentum, weightDecay, seed } = options;
  requireCount('steps', steps, 1);
  requireCount('batch', batch, 1);
  requireCount('outlier batch', outlierBatch, regulariser ? 1 : 0);
  requireCount('seed', seed, 0);
  if (seed >= 2 ** 32) throw new UsageError(`seed ${seed} is not below 2^32`);
  if (outlierBatch > 0 && !outliers)
    throw new UsageError(`outlier batch is ${outlierBatch}, but no outliers are given`);
  requireImages('batch', batch, inDistribution);
  if (outliers) {
    requireImages('outlier batch', outlierBatch, outliers);
    const [size, other] = [inDistribution, outliers].map(({ height, width }) => `${height} x ${width}`);
    if (size !== other) {
      throw new DataError(
        `${sourceOf(outliers)} has images of ${other} pixels, and ${sourceOf(inDistribution)} of ${size}: scale them to one size`,
      );
    }
  }
  if (regulariser) requireRegulariser(regulariser);
  requireRate(dropout);
  if (!(learningRate > 0 && Number.isFinite(learningRate)))
    throw new UsageError(`learning rate ${learningRate} is not a positive number`);
  if (!(momentum >= 0 && momentum < 1)) throw new UsageError(`momentum ${momentum} is not a number from 0 to below 1`);
  if (!(weightDecay >= 0 && Number.isFinite(weightDecay)))
    throw new UsageError(`weight decay ${weightDecay} is not a number of 0 or more`);
  return requireLabels(inDistribution, network.config.classes);
}

function requireCount(what: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least)
    throw new UsageError(`${what} is ${value}, but must be a whole number of ${least} or more`);
}

function requireImages(what: string, batch: number, set: ImageProperties): void {
  const { count } = set;
  if (batch > count)
    throw new UsageError(
      `${what} ${batch} is larger than ${sourceOf(set)}, which has ${count} images: use at most ${count}`,
    );
}
