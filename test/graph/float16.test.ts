import { afterEach, describe, expect, it, vi } from 'vitest';
import { NORMALIZATIONS } from '../../src/data/normalization.js';
import { FeatureError, ShapeError, UsageError } from '../../src/errors.js';
import { gradients } from '../../src/graph/differentiate.js';
import { Graph, type Tensor } from '../../src/graph/graph.js';
import { batchNormTraining } from '../../src/graph/ops/batch-norm.js';
import { conv2d } from '../../src/graph/ops/conv2d.js';
import { add } from '../../src/graph/ops/elementwise.js';
import { globalAveragePool } from '../../src/graph/ops/pool.js';
import { Program } from '../../src/graph/program.js';
import { Classifier } from '../../src/nn/classifier.js';
import { OPTIMISER, Trainer } from '../../src/nn/trainer.js';
import { wideResNet } from '../../src/nn/wide-resnet.js';
import { engine, MATRIX_SHADERS, shadersOf } from '../support/gpu.js';
import { noise } from '../support/numbers.js';

afterEach(() => void vi.restoreAllMocks());

/** Without ReLU, whose mask rounding may turn over; of float16 alone there is then an error of 2^-11 a value that is stored. */
const TOLERANCE = 3e-3;

/** Convolutions of every kind, and batch norms: a stem, and a block with stride and a 1x1 shortcut. */
function network() {
  const graph = new Graph();
  const parameters: Tensor[] = [];
  const parameter = (name: string, shape: readonly number[]) => {
    parameters.push(graph.input(name, shape));
    return parameters.at(-1)!;
  };
  const filter = (kernel: number, from: number, to: number) =>
    parameter(`w${parameters.length}`, [kernel, kernel, from, to]);
  const normalise = (x: Tensor) => {
    const [gamma, beta] = ['gamma', 'beta'].map((name) => parameter(`${name}${parameters.length}`, [x.shape.at(-1)!]));
    return batchNormTraining(x, { gamma: gamma!, beta: beta! }, { relu: false }).y;
  };
  const images = graph.input('images', [2, 16, 16, 3]);
  let x = conv2d(images, filter(3, 3, 16), { stride: 1 });
  const activated = normalise(x);
  const hidden = normalise(conv2d(activated, filter(3, 16, 32), { stride: 2 }));
  const shortcut = conv2d(activated, filter(1, 16, 32), { stride: 2 });
  x = conv2d(hidden, filter(3, 32, 32), { stride: 1, residual: shortcut });
  const features = globalAveragePool(normalise(x));
  const seed = graph.input('seed', features.shape);
  return {
    graph,
    images,
    parameters,
    seed,
    x,
    features,
    outputs: [features, ...gradients(features, seed, parameters)],
  };
}

async function compute(float16: boolean) {
  const { graph, images, parameters, seed, outputs } = network();
  const program = await Program.compile(engine, graph, outputs, new Map(), { float16 });
  [images, seed, ...parameters].forEach((tensor, i) => {
    const size = tensor.shape.reduce((a, b) => a * b, 1);
    program.write(tensor, tensor.name.startsWith('gamma') ? noise(size, i).map((v) => 1 + v / 2) : noise(size, i));
  });
  program.run();
  const values = await program.read(...outputs);
  program.destroy();
  return { values, peakBytes: program.peakBytes, names: ['features', ...parameters.map(({ name }) => name)] };
}

const norm = (values: Float32Array) => Math.hypot(...values);

const hasFloat16 = engine.device.features.has('shader-f16');

// Where the driver's cache is empty, a software adapter compiles two programs for each of these.
describe.runIf(hasFloat16).each([
  { kernels: 'this adapter', adapter: {}, traits: {}, matrices: undefined },
  { kernels: 'a GPU', adapter: { software: false }, traits: {}, matrices: undefined },
  {
    kernels: 'an adapter without subgroups',
    adapter: { software: true },
    traits: { lanes: undefined },
    matrices: undefined,
  },
  ...(engine.matrices
    ? [{ kernels: 'matrix units', adapter: { software: false }, traits: {}, matrices: engine.matrices }]
    : []),
])('float16 activations, with the kernels of $kernels', ({ adapter, traits, matrices }) => {
  it('give float32’s features and gradients but for rounding', { timeout: 300_000 }, async () => {
    vi.spyOn(engine, 'adapter', 'get').mockReturnValue({ ...engine.adapter, ...adapter });
    vi.spyOn(engine, 'traits', 'get').mockReturnValue({ ...engine.traits, ...traits });
    vi.spyOn(engine, 'matrices', 'get').mockReturnValue(matrices);
    const prepare = vi.spyOn(engine, 'prepare');
    const half = await compute(true);
    const shaders = shadersOf(prepare);
    for (const shader of MATRIX_SHADERS) expect(shaders.has(shader)).toBe(matrices !== undefined);
    const full = await compute(false);
    expect(half.peakBytes).toBeLessThan(full.peakBytes);
    full.values.forEach((expected, i) => {
      const difference = norm(expected.map((value, k) => half.values[i]![k]! - value));
      if (i === 0) expect(difference).toBeGreaterThan(0);
      // A beta's gradient is what is left of summands that the next batch norm makes cancel: its gamma's tells their size.
      const size = half.names[i]!.startsWith('beta') ? norm(full.values[i - 1]!) : norm(expected);
      expect(difference, half.names[i]).toBeLessThan(TOLERANCE * size);
    });
  });
});

describe('float16 is refused', () => {
  it('with a perturbation, and by a trainer, before anything is on the device', async () => {
    const network = wideResNet({ depth: 10, width: 1, classes: 10 }, { seed: 1, normalization: NORMALIZATIONS.cifar });
    const { bytes } = engine.counters;
    const perturbation = { of: 'cross-entropy', temperature: 1, epsilon: 0.01 } as const;
    await expect(Classifier.create(engine, network, { float16: true, perturbation })).rejects.toThrow(UsageError);
    vi.spyOn(engine.device, 'features', 'get').mockReturnValue(new Set() as never);
    const set = {
      name: 'set',
      images: new Uint8Array(4 * 3072),
      labels: new Int32Array(4),
      count: 4,
      height: 32,
      width: 32,
    };
    const schedule = { steps: 1, batch: 2, outlierBatch: 2, learningRate: 0.1, ...OPTIMISER };
    const options = { ...schedule, dropout: 0, augment: false, shuffle: false, seed: 1, float16: true };
    await expect(Trainer.create(engine, network, { inDistribution: set, outliers: set }, options)).rejects.toThrow(
      FeatureError,
    );
    expect(engine.counters.bytes).toBe(bytes);
  });

  it('on a device without shader-f16', async () => {
    const { graph, outputs } = network();
    vi.spyOn(engine.device, 'features', 'get').mockReturnValue(new Set() as never);
    const compiled = Program.compile(engine, graph, outputs, new Map(), { float16: true });
    await expect(compiled).rejects.toThrow(FeatureError);
    await expect(compiled).rejects.toThrow('shader-f16');
  });

  it.runIf(hasFloat16)('for an output, and for an op that has no such kernel', async () => {
    const { graph, x } = network();
    const compile = (output: Tensor) => Program.compile(engine, graph, [output], new Map(), { float16: true });
    await expect(compile(x)).rejects.toThrow(ShapeError);
    await expect(compile(globalAveragePool(add(x, x)))).rejects.toThrow('add cannot read');
  });

  it.runIf(hasFloat16)('where float32 is added to it, and for a view of it', async () => {
    const { graph, x, parameters } = network();
    const compile = (y: Tensor) => Program.compile(engine, graph, [globalAveragePool(y)], new Map(), { float16: true });
    const residual = graph.input('residual', [2, 8, 8, 16]);
    const sum = conv2d(graph.input('more images', [2, 8, 8, 3]), parameters[0]!, { stride: 1, residual });
    await expect(compile(sum)).rejects.toThrow('residual float32');
    await expect(compile(graph.view(x, 'part', 64, [1, 4, 4, 32]))).rejects.toThrow('cannot read part');
  });
});
