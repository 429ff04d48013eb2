import { readFileSync } from 'node:fs';
import { sizeOf } from '../../src/graph/graph.js';
import {
  batchNormTraining,
  Classifier,
  conv2d,
  Engine,
  energyLoss,
  Graph,
  gradients,
  type ImageSet,
  LOG_WIDTH,
  lossStatistics,
  matmul,
  Program,
  relu,
  sgd,
  type Tensor,
  Trainer,
} from '../../src/index.js';
import { conv2dOutput } from '../../src/kernels/conv2d.js';
import { labels, pixels, scaled, uniform } from '../inputs.js';
import { LOSS, type Peer, SGD, type Task, type Workloads } from '../workloads.js';
import { concatenate, IN_SEED, network, OUT_SEED } from './weights.js';

const REGULARISER = { kind: 'energy', ...LOSS } as const;

export const version: string = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;

/** This project, through its graph: what is timed is what a training step runs. */
export async function open(): Promise<Peer> {
  const engine = await Engine.open(navigator.gpu);
  return {
    version,
    settings: () => [''],
    tasks: {
      copy: (parameters) => copy(engine, parameters),
      relu: (parameters) => reluTask(engine, parameters),
      matmul: (parameters) => matmulTask(engine, parameters),
      conv2d: (parameters) => convolution(engine, parameters),
      batchNorm: (parameters) => batchNormTask(engine, parameters),
      energyLoss: (parameters) => energyLossTask(engine, parameters),
      sgd: (parameters) => update(engine, parameters),
      step: (parameters) => step(engine, parameters),
      score: (parameters) => score(engine, parameters),
    },
  };
}

/** Runs in a submit: the GPU is at work on some while the next are recorded. */
const RUNS_OF_SUBMIT = 20;

/** Records runs, submits them, and waits for all. */
function submitting(engine: Engine, record: (encoder: GPUCommandEncoder, times: number) => void) {
  return async (times: number) => {
    for (let left = times; left > 0; left -= RUNS_OF_SUBMIT) {
      const encoder = engine.device.createCommandEncoder();
      record(encoder, Math.min(left, RUNS_OF_SUBMIT));
      engine.submit(encoder);
    }
    await engine.finish();
  };
}

/** A task that is a graph: inputs with their values, and what to compute. */
async function graphTask(
  engine: Engine,
  graph: Graph,
  values: readonly (readonly [Tensor, Float32Array | Uint32Array])[],
  outputs: readonly Tensor[],
  results: (read: Float32Array[]) => Float32Array[] = (read) => read,
): Promise<Task> {
  const computed = outputs.filter((tensor) => tensor.node);
  const program = await Program.compile(engine, graph, computed);
  for (const [tensor, data] of values) program.write(tensor, data);
  const run = submitting(engine, (encoder, times) => {
    const pass = encoder.beginComputePass();
    for (let i = 0; i < times; i++) program.encode(pass);
    pass.end();
  });
  return {
    run,
    async outputs() {
      await run(1);
      return results(await program.read(...outputs));
    },
    dispose: () => program.destroy(),
  };
}

function copy(engine: Engine, { bytes }: Workloads['copy']): Task {
  const from = engine.upload('from', uniform(bytes / 4, 1)).buffer;
  const to = engine.createBuffer('to', bytes);
  const run = submitting(engine, (encoder, times) => {
    for (let i = 0; i < times; i++) encoder.copyBufferToBuffer(from, 0, to, 0, bytes);
  });
  return {
    run,
    async outputs() {
      await run(1);
      const [read] = await engine.read([{ buffer: to, offset: 0, size: bytes }]);
      return [new Float32Array(read)];
    },
    dispose() {
      engine.destroyBuffer(from);
      engine.destroyBuffer(to);
    },
  };
}

function reluTask(engine: Engine, { size }: Workloads['relu']): Promise<Task> {
  const graph = new Graph();
  const x = graph.input('x', [size]);
  return graphTask(engine, graph, [[x, uniform(size, 1)]], [relu(x)]);
}

function matmulTask(engine: Engine, { m, n, k }: Workloads['matmul']): Promise<Task> {
  const graph = new Graph();
  const a = graph.input('a', [m, k]);
  const b = graph.input('b', [k, n]);
  return graphTask(
    engine,
    graph,
    [
      [a, uniform(m * k, 1)],
      [b, uniform(k * n, 2)],
    ],
    [matmul(a, b)],
  );
}

function convolution(engine: Engine, { direction, ...shape }: Workloads['conv2d']): Promise<Task> {
  const { batch, inHeight, inWidth, inChannels, outChannels, kernel, stride } = shape;
  const graph = new Graph();
  const x = graph.input('x', [batch, inHeight, inWidth, inChannels]);
  const w = graph.input('w', [kernel, kernel, inChannels, outChannels]);
  const y = conv2d(x, w, { stride });
  const { height, width } = conv2dOutput(shape);
  const gradient = graph.input('gradient', [batch, height, width, outChannels]);
  const output = direction === 'forward' ? y : gradients(y, gradient, [direction === 'backward-data' ? x : w])[0];
  return graphTask(
    engine,
    graph,
    [x, w, gradient].map((tensor, i) => [tensor, uniform(sizeOf(tensor.shape), i + 1)] as const),
    [output],
  );
}

function batchNormTask(engine: Engine, { batch, side, channels, backward }: Workloads['batchNorm']): Promise<Task> {
  const graph = new Graph();
  const x = graph.input('x', [batch, side, side, channels]);
  const gamma = graph.input('gamma', [channels]);
  const beta = graph.input('beta', [channels]);
  const gradient = graph.input('gradient', x.shape);
  const { y } = batchNormTraining(x, { gamma, beta }, { relu: true });
  return graphTask(
    engine,
    graph,
    [x, gamma, beta, gradient].map((tensor, i) => [tensor, uniform(sizeOf(tensor.shape), i + 1)] as const),
    backward ? [y, ...gradients(y, gradient, [x, gamma, beta])] : [y],
  );
}

function energyLossTask(engine: Engine, { inCount, outCount, classes }: Workloads['energyLoss']): Promise<Task> {
  const graph = new Graph();
  const logits = graph.input('logits', [inCount + outCount, classes]);
  const targets = graph.input('labels', [inCount], 'u32');
  const batch = { inCount, outCount };
  const { gradient, rows } = energyLoss(logits, targets, batch, REGULARISER);
  const state = {
    step: graph.input('step', [4], 'u32'),
    halted: graph.input('halted', [1], 'u32'),
    log: graph.input('log', [1, LOG_WIDTH]),
  };
  lossStatistics(rows, { ...batch, lambda: LOSS.lambda }, state);
  return graphTask(
    engine,
    graph,
    [
      [logits, scaled(sizeOf(logits.shape), 1, 4)],
      [targets, Uint32Array.from(labels(inCount, classes))],
      [state.step, Uint32Array.of(1, 0, 0, 0)],
      [state.halted, Uint32Array.of(0xffffffff)],
    ],
    [gradient, state.log],
    ([g, log]) => [g, log.subarray(0, 1)],
  );
}

function update(engine: Engine, { size }: Workloads['sgd']): Promise<Task> {
  const graph = new Graph();
  const [w, gradient, velocity] = ['w', 'gradient', 'velocity'].map((name) => graph.input(name, [size]));
  const stepInput = graph.input('step', [4], 'u32');
  const halted = graph.input('halted', [1], 'u32');
  const { learningRate, ...attributes } = SGD;
  sgd(w, gradient, velocity, { step: stepInput, halted }, attributes);
  const step = Uint32Array.of(1, 0, 0, 0);
  new Float32Array(step.buffer)[2] = learningRate;
  return graphTask(
    engine,
    graph,
    [
      ...[w, gradient, velocity].map((tensor, i) => [tensor, uniform(size, i + 1)] as const),
      [stepInput, step],
      [halted, Uint32Array.of(0xffffffff)],
    ],
    [w, velocity],
  );
}

const imageSet = (name: string, count: number, seed: number): ImageSet => ({
  name,
  count,
  height: 32,
  width: 32,
  images: pixels(count, seed),
});

/** Steps between two readings of the log, which training makes as well. */
const LOGGED_STEPS = 32;

/** @param float16 how activations are stored */
export async function step(
  engine: Engine,
  { inCount, outCount, ...config }: Workloads['step'],
  float16 = false,
): Promise<Task> {
  const trainer = await Trainer.create(
    engine,
    network(config),
    {
      inDistribution: { ...imageSet('in', inCount, IN_SEED), labels: labels(inCount, config.classes) },
      outliers: imageSet('out', outCount, OUT_SEED),
    },
    {
      ...SGD,
      steps: 1_000_000,
      batch: inCount,
      outlierBatch: outCount,
      regulariser: REGULARISER,
      dropout: 0,
      augment: false,
      shuffle: false,
      seed: 1,
      float16,
    },
  );
  let logged = 0;
  return {
    async run(times) {
      for (let i = 0; i < times; i++) {
        // Before the log is full.
        if (logged === LOGGED_STEPS) {
          await trainer.readLogs();
          logged = 0;
        }
        trainer.submitStep();
        logged++;
      }
      await engine.finish();
    },
    async outputs() {
      trainer.submitStep();
      const [{ loss }] = await trainer.readLogs();
      const { velocity } = await trainer.state();
      return [Float32Array.of(loss), concatenate([...velocity.values()].map(({ data }) => data))];
    },
    dispose: () => trainer.destroy(),
  };
}

export async function score(engine: Engine, { batch, ...config }: Workloads['score'], float16 = false): Promise<Task> {
  const classifier = await Classifier.create(engine, network(config), { batch, float16 });
  const images = imageSet('images', batch, IN_SEED);
  return {
    async run(times) {
      for (let i = 0; i < times; i++) await classifier.run(images);
    },
    outputs: async () => [(await classifier.run(images)).logits],
    dispose: () => classifier.destroy(),
  };
}
