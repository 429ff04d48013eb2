import { describe, expect, it } from 'vitest';
import { gradients } from '../../src/graph/differentiate.js';
import { Graph, type Shape, sizeOf, type Tensor } from '../../src/graph/graph.js';
import { batchNorm, batchNormTraining } from '../../src/graph/ops/batch-norm.js';
import { conv2d } from '../../src/graph/ops/conv2d.js';
import { add, dropout, relu } from '../../src/graph/ops/elementwise.js';
import { energyLoss } from '../../src/graph/ops/energy-loss.js';
import { matmul } from '../../src/graph/ops/matmul.js';
import { globalAveragePool } from '../../src/graph/ops/pool.js';
import { plan } from '../../src/graph/plan.js';
import { partsOf } from '../../src/kernels/dispatch.js';
import * as normal from '../reference/batch-norm.js';
import * as convolution from '../reference/convolution.js';
import { centralDifference } from '../reference/differences.js';
import * as layers from '../reference/layers.js';
import { type Data, engine } from '../support/gpu.js';
import { runGraph } from '../support/graph.js';
import { expectClose, f64, noise } from '../support/numbers.js';
import { dropoutMask } from '../support/pcg.js';

/** Float32 on the GPU against central differences in float64. */
const TOLERANCE = 1e-5;

const DRAWN = { step: 3, seed: 99, stream: 6 };
const STEP = Uint32Array.of(DRAWN.step, DRAWN.seed, 0, DRAWN.stream);

/**
 * Build a graph on inputs of these shapes, and check its value and the gradient of each input against the reference,
 * a function of the inputs in the same order.
 */
async function expectGradients(
  shapes: readonly Shape[],
  build: (inputs: Tensor[], step: Tensor) => Tensor,
  reference: (inputs: Float64Array[]) => Float64Array,
): Promise<void> {
  const graph = new Graph();
  const inputs = shapes.map((shape, i) => graph.input(`input${i}`, shape));
  const step = graph.input('step', [4], 'u32');
  const y = build(inputs, step);
  const cotangent = graph.input('cotangent', y.shape);
  const found = gradients(y, cotangent, inputs);

  // Away from 0, where ReLU has no derivative.
  const values = inputs.map(({ shape }, i) => noise(sizeOf(shape), i + 1).map((v) => v + Math.sign(v) * 0.05));
  const weights = noise(sizeOf(y.shape), 50);
  const data = new Map<Tensor, Data>([
    [cotangent, weights],
    [step, STEP],
  ]);
  inputs.forEach((input, i) => void data.set(input, values[i]!));
  const [value, ...results] = await runGraph(graph, data, [y, ...found]);

  const exact = values.map(f64);
  expectClose(value!, reference(exact), TOLERANCE, 'value');
  const scalar = (at: Float64Array[]) => reference(at).reduce((sum, v, i) => sum + v * weights[i]!, 0);
  for (const [i, x] of exact.entries()) {
    const expected = centralDifference(
      (moved) => scalar(exact.map((other, j) => (j === i ? moved : other))),
      x,
      Array.from(x.keys()),
    );
    expect(found[i]!.shape).toEqual(inputs[i]!.shape);
    expectClose(results[i]!, expected, TOLERANCE, `gradient of input ${i}`);
  }
}

describe('every vjp agrees with central differences', () => {
  describe.each([
    { what: 'stride 1', h: 3, w: 4, kernel: 3, stride: 1 },
    { what: 'stride 2, odd size', h: 5, w: 3, kernel: 3, stride: 2 },
    { what: '1x1, stride 2', h: 4, w: 3, kernel: 1, stride: 2 },
  ])('conv2d, $what', ({ h, w, kernel, stride }) => {
    const [n, cin, cout] = [2, 3, 4];
    const full = { n, h, w, cin, cout, kh: kernel, kw: kernel, stride, pad: (kernel - 1) / 2 };
    const { oh, ow } = convolution.outputSize(full);
    const shapes = [
      [n, h, w, cin],
      [kernel, kernel, cin, cout],
    ];

    it('plain', () =>
      expectGradients(
        shapes,
        ([x, w]) => conv2d(x!, w!, { stride }),
        ([x, w]) => convolution.conv2d(x!, w!, full),
      ));

    it('with a residual', () =>
      expectGradients(
        [...shapes, [n, oh, ow, cout]],
        ([x, w, residual]) => conv2d(x!, w!, { stride, residual }),
        ([x, w, residual]) => layers.add(convolution.conv2d(x!, w!, full), residual!),
      ));
  });

  describe.each([
    { channels: 3, fold: false },
    { channels: 4, fold: true },
    { channels: 3, fold: true },
  ])('batch norm of $channels channels, ReLU and dropout folded in: $fold', ({ channels, fold }) => {
    const size = 2 * 3 * 2 * channels;
    const shapes = [[2, 3, 2, channels], [channels], [channels]];
    const options = (step: Tensor) => (fold ? { relu: true, dropout: { rate: 0.3, step } } : {});
    const mask = fold
      ? dropoutMask(size, { rate: 0.3, ...DRAWN, perElement: channels % 4 !== 0 })
      : new Float64Array(size).fill(1);

    it('with batch statistics', () =>
      expectGradients(
        shapes,
        ([x, gamma, beta], step) => batchNormTraining(x!, { gamma: gamma!, beta: beta! }, options(step)).y,
        ([x, gamma, beta]) =>
          normal
            .batchNormApply(
              x!,
              normal.batchNormStatistics(x!, channels),
              { gamma: gamma!, beta: beta! },
              { relu: fold },
            )
            .map((v, i) => v * mask[i]!),
      ));

    it('with running statistics', async () => {
      const graph = new Graph();
      const [x, gamma, beta, mean, variance, cotangent] = (
        [
          ['x', shapes[0]!],
          ['gamma', shapes[1]!],
          ['beta', shapes[1]!],
          ['mean', shapes[1]!],
          ['variance', shapes[1]!],
          ['cotangent', shapes[0]!],
        ] as const
      ).map(([name, shape]) => graph.input(name, shape)) as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
      const step = graph.input('step', [4], 'u32');
      const y = batchNorm(x, { mean, variance }, { gamma, beta }, options(step));
      // Of x alone, nothing has to be summed: that is another kernel.
      const found = [...gradients(y, cotangent, [x, gamma, beta]), ...gradients(y, cotangent, [x])];
      const data = new Map<Tensor, Data>([
        [x, noise(size, 1)],
        [gamma, noise(channels, 2)],
        [beta, noise(channels, 3)],
        [mean, noise(channels, 4)],
        [variance, noise(channels, 5).map((v) => 1.5 + v)],
        [cotangent, noise(size, 6)],
        [step, STEP],
      ]);
      const results = await runGraph(graph, data, found);
      const at = (tensor: Tensor) => f64(data.get(tensor)!);
      const scalar = (moved: Map<Tensor, Float64Array>) => {
        const value = (tensor: Tensor) => moved.get(tensor) ?? at(tensor);
        const running = { mean: at(mean), variance: at(variance) };
        const affine = { gamma: value(gamma), beta: value(beta) };
        return normal
          .batchNormApply(value(x), running, affine, { relu: fold })
          .reduce((sum, v, i) => sum + v * mask[i]! * at(cotangent)[i]!, 0);
      };
      for (const [i, tensor] of [x, gamma, beta, x].entries()) {
        const value = at(tensor);
        const expected = centralDifference((v) => scalar(new Map([[tensor, v]])), value, Array.from(value.keys()));
        expectClose(results[i]!, expected, TOLERANCE, tensor.name);
      }
    });
  });

  it.each([4, 3])('batch norm of %i channels, dropout and a pooled mean, whose backward passes are one', (channels) => {
    const dropping = { rate: 0.3 };
    const size = 2 * 3 * 2 * channels;
    const perElement = channels % 4 !== 0;
    const mask = dropoutMask(size, { ...dropping, ...DRAWN, perElement });
    return expectGradients(
      [[2, 3, 2, channels], [channels], [channels]],
      ([x, gamma, beta], step) => {
        const options = { relu: true, dropout: { ...dropping, step } };
        return globalAveragePool(batchNormTraining(x!, { gamma: gamma!, beta: beta! }, options).y);
      },
      ([x, gamma, beta]) => {
        const statistics = normal.batchNormStatistics(x!, channels);
        const y = normal.batchNormApply(x!, statistics, { gamma: gamma!, beta: beta! }, { relu: true });
        return layers.globalAveragePool(
          y.map((v, i) => v * mask[i]!),
          { n: 2, h: 3, w: 2, c: channels },
        );
      },
    );
  });

  it('relu', () =>
    expectGradients(
      [[3, 5]],
      ([x]) => relu(x!),
      ([x]) => layers.relu(x!),
    ));

  it('dropout', () => {
    const mask = dropoutMask(30, { rate: 0.4, ...DRAWN });
    return expectGradients(
      [[3, 10]],
      ([x], step) => dropout(x!, step, { rate: 0.4 }),
      ([x]) => x!.map((v, i) => v * mask[i]!),
    );
  });

  it('add', () =>
    expectGradients(
      [
        [3, 5],
        [3, 5],
      ],
      ([a, b]) => add(a!, b!),
      ([a, b]) => layers.add(a!, b!),
    ));

  it('global average pool', () =>
    expectGradients(
      [[2, 3, 4, 5]],
      ([x]) => globalAveragePool(x!),
      ([x]) => layers.globalAveragePool(x!, { n: 2, h: 3, w: 4, c: 5 }),
    ));

  it.each([
    { transposeA: false, transposeB: false },
    { transposeA: false, transposeB: true },
    { transposeA: true, transposeB: false },
    { transposeA: true, transposeB: true },
  ])('matmul, transposeA $transposeA, transposeB $transposeB', ({ transposeA, transposeB }) => {
    const [m, n, k] = [3, 4, 5];
    return expectGradients(
      [transposeA ? [k, m] : [m, k], transposeB ? [n, k] : [k, n], [n]],
      ([a, b, bias]) => matmul(a!, b!, { transposeA, transposeB, bias }),
      ([a, b, bias]) =>
        Float64Array.from({ length: m * n }, (_, i) => {
          const [row, column] = [Math.floor(i / n), i % n];
          let sum = bias![column]!;
          for (let j = 0; j < k; j++) {
            sum += a![transposeA ? j * m + row : row * k + j]! * b![transposeB ? column * k + j : j * n + column]!;
          }
          return sum;
        }),
    );
  });

  it('a chain: the vjps meet', () => {
    const full = { n: 1, h: 3, w: 3, cin: 2, cout: 4, kh: 3, kw: 3, stride: 1, pad: 1 };
    return expectGradients(
      [
        [1, 3, 3, 2],
        [3, 3, 2, 4],
        [4, 3],
      ],
      ([x, w, fc]) => matmul(globalAveragePool(relu(conv2d(x!, w!, { stride: 1 }))), fc!),
      ([x, w, fc]) => {
        const pooled = layers.globalAveragePool(layers.relu(convolution.conv2d(x!, w!, full)), { ...full, c: 4 });
        return Float64Array.from({ length: 3 }, (_, j) => pooled.reduce((sum, v, i) => sum + v * fc![i * 3 + j]!, 0));
      },
    );
  });
});

describe('a tensor used more than once takes the sum of its gradients', () => {
  it('used three times by add', () =>
    expectGradients(
      [[2, 3]],
      ([x]) => add(add(x!, x!), x!),
      ([x]) => x!.map((v) => 3 * v),
    ));

  const full = { n: 1, h: 4, w: 3, cin: 4, cout: 4, kh: 3, kw: 3, stride: 1, pad: 1 };
  const image = [1, 4, 3, 4];
  const filter = [3, 3, 4, 4];

  it('by a convolution, a batch norm and a residual', () =>
    expectGradients(
      [image, filter, [4], [4]],
      ([x, w, gamma, beta]) => {
        const normalised = batchNormTraining(x!, { gamma: gamma!, beta: beta! }, { relu: true }).y;
        const first = conv2d(normalised, w!, { stride: 1, residual: x });
        return conv2d(x!, w!, { stride: 1, residual: first });
      },
      ([x, w, gamma, beta]) => {
        const statistics = normal.batchNormStatistics(x!, 4);
        const normalised = normal.batchNormApply(x!, statistics, { gamma: gamma!, beta: beta! }, { relu: true });
        const first = layers.add(convolution.conv2d(normalised, w!, full), x!);
        return layers.add(convolution.conv2d(x!, w!, full), first);
      },
    ));

  it('by two batch norms that share gamma and beta', () =>
    expectGradients(
      [image, [4], [4]],
      ([x, gamma, beta]) => {
        const parameters = { gamma: gamma!, beta: beta! };
        return batchNormTraining(batchNormTraining(x!, parameters, { relu: true }).y, parameters).y;
      },
      ([x, gamma, beta]) => {
        const parameters = { gamma: gamma!, beta: beta! };
        const first = normal.batchNormApply(x!, normal.batchNormStatistics(x!, 4), parameters, { relu: true });
        return normal.batchNormApply(first, normal.batchNormStatistics(first, 4), parameters);
      },
    ));

  it('by the two operands of an add whose gradient a convolution makes', () =>
    expectGradients(
      [image, filter],
      ([x, w]) => conv2d(add(x!, x!), w!, { stride: 1 }),
      ([x, w]) =>
        convolution.conv2d(
          x!.map((v) => 2 * v),
          w!,
          full,
        ),
    ));

  const shadersOf = (y: Tensor, wrt: readonly Tensor[]) => {
    const cotangent = y.graph.input('cotangent', y.shape);
    return plan(y.graph, gradients(y, cotangent, wrt))
      .dispatches.flatMap(partsOf)
      .map(({ shader }) => shader);
  };

  it('is added as batch norm or a convolution stores, in a residual block, without a kernel of its own', () => {
    const graph = new Graph();
    const x = graph.input('x', image);
    const [w, v, shortcut] = ['w', 'v', 'shortcut'].map((name) => graph.input(name, filter)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const [gamma, beta] = [graph.input('gamma', [4]), graph.input('beta', [4])];
    const activate = (t: Tensor) => batchNormTraining(t, { gamma, beta }, { relu: true }).y;
    // Of x: the residual and batch norm's. Of what the second block activates: two convolutions'.
    const first = conv2d(activate(x), w, { stride: 1, residual: x });
    const activated = activate(first);
    const second = conv2d(activated, v, { stride: 1, residual: conv2d(activated, shortcut, { stride: 1 }) });
    // Nobody reads the second block's output, so of the forward pass only the first convolution is left.
    const shaders = shadersOf(second, [x]);
    expect(shaders.filter((shader) => shader === 'conv2d')).toHaveLength(1 + 3);
    expect(shaders).not.toContain('add');
  });

  it('does not run a kernel again whose result others read too', () => {
    const graph = new Graph();
    const [x, w] = [graph.input('x', image), graph.input('w', filter)];
    const shaders = shadersOf(conv2d(add(x, x), w, { stride: 1 }), [x]);
    expect(shaders.filter((shader) => shader === 'conv2d')).toHaveLength(1);
    expect(shaders.filter((shader) => shader === 'add')).toHaveLength(1);
  });
});

describe('refusals', () => {
  const setup = () => {
    const graph = new Graph();
    return { graph, x: graph.input('x', [2, 3]), z: graph.input('z', [2, 3]) };
  };

  it('a gradient of the wrong shape', () => {
    const { graph, x } = setup();
    expect(() => gradients(relu(x), graph.input('g', [3, 2]), [x])).toThrow(
      'gradients: gradient g is 3x2, but 2x3 is needed',
    );
  });

  it('a tensor that the result does not depend on', () => {
    const { x, z } = setup();
    const y = relu(x);
    expect(() => gradients(y, x, [z])).toThrow(`gradients: ${y.name} does not depend on z`);
  });

  it('an op that has no derivative', () => {
    const { graph, x } = setup();
    const { gradient } = energyLoss(
      x,
      graph.input('labels', [1], 'u32'),
      { inCount: 1, outCount: 1 },
      {
        kind: 'oe',
        lambda: 1,
      },
    );
    expect(() => gradients(relu(gradient), x, [x])).toThrow('gradients: energy_loss cannot be differentiated');
  });

  it('batch norm with given statistics that the gradient would have to go through', () => {
    const { graph, x } = setup();
    const affine = { gamma: graph.input('gamma', [3]), beta: graph.input('beta', [3]) };
    const given = graph.input('given', [3]);
    const statistic = relu(given);
    const y = batchNorm(relu(x), { mean: statistic, variance: statistic }, affine);
    expect(() => gradients(y, x, [given])).toThrow(
      'batch_norm: cannot differentiate through the statistics given for relu#1',
    );
  });
});

it('leaves the engine without an error', () => engine.check());
