import { ShapeError } from '../../errors.js';
import * as kernels from '../../kernels/batch-norm.js';
import { type Op, requireShape, sizeOf, type Tensor } from '../graph.js';

type Fold = kernels.BatchNormFold;

const matrix = (x: Tensor): kernels.BatchNormShape => {
  const channels = x.shape.at(-1)!;
  return { rows: sizeOf(x.shape) / channels, channels };
};

const statisticsOp: Op<undefined> = {
  name: 'batch_norm_statistics',
  outputs: ([x]) => [[x!.shape.at(-1)!], [x!.shape.at(-1)!], [x!.shape.at(-1)!]],
  lower({ inputs: [x], outputs: [mean, variance, unbiased] }, scratch) {
    const shape = matrix(x!);
    const partials = scratch([kernels.batchNormChunks(shape).chunks, 2, shape.channels]);
    return kernels.batchNormStatistics(shape, {
      x: x!,
      partials,
      mean: mean!,
      variance: variance!,
      unbiased: unbiased!,
    });
  },
};

/** Inputs: x, mean, variance, gamma, beta and, where there is dropout, step. */
const batchNormOp: Op<Fold> = {
  name: 'batch_norm',
  outputs([x, mean, variance, gamma, beta]) {
    for (const tensor of [mean!, variance!, gamma!, beta!]) {
      requireShape('batch_norm', 'statistic or parameter', tensor, [x!.shape.at(-1)!]);
    }
    return [x!.shape];
  },
  lower: ({ inputs: [x, mean, variance, gamma, beta, step], outputs: [y], attributes }) => [
    kernels.batchNormApply(matrix(x!), attributes, {
      x: x!,
      mean: mean!,
      variance: variance!,
      gamma: gamma!,
      beta: beta!,
      step,
      y: y!,
    }),
  ],
  vjp({ inputs: [x, mean, variance, gamma, beta, ...step], attributes }, [gradient], needed) {
    const { graph } = x!;
    // The statistics depend on x where they were taken of it; that path is part of the same kernels.
    const batchStatistics = mean!.node?.op === statisticsOp && mean!.node.inputs[0] === x;
    if (!batchStatistics && (needed[1] || needed[2])) {
      throw new ShapeError(
        `batch_norm: cannot differentiate through statistics of another tensor than its input ${x!.name}`,
      );
    }
    if (!batchStatistics && !needed[3] && !needed[4]) {
      // Nothing has to be summed: the statistics stand still, and nobody asks for the parameters' gradients.
      const [still] = graph.apply(coefficientsOp, [mean!, variance!, gamma!, beta!], undefined);
      return graph.apply(backwardOp, [x!, gradient!, still!, ...step], { ...attributes, residual: false });
    }
    const [dGamma, dBeta, coefficients] = graph.apply(
      backwardSumsOp,
      [x!, mean!, variance!, gamma!, beta!, gradient!, ...step],
      { ...attributes, batchStatistics },
    ) as [Tensor, Tensor, Tensor];
    const dx = needed[0]
      ? graph.apply(backwardOp, [x!, gradient!, coefficients, ...step], { ...attributes, residual: false })[0]
      : undefined;
    return [dx, undefined, undefined, dGamma, dBeta];
  },
};

/** Inputs: x, mean, variance, gamma, beta, the output's gradient, step where there is dropout. Outputs: gradients of gamma and beta, coefficients. */
const backwardSumsOp: Op<Fold & { batchStatistics: boolean }> = {
  name: 'batch_norm_backward_sums',
  outputs: ([, , , gamma, beta]) => [gamma!.shape, beta!.shape, [5, gamma!.shape[0]!]],
  lower({ inputs: [x, mean, variance, gamma, beta, gradient, step], outputs, attributes }, scratch) {
    const [gammaGradient, betaGradient, coefficients] = outputs;
    const shape = matrix(x!);
    return kernels.batchNormBackwardSums(shape, attributes, {
      x: x!,
      mean: mean!,
      variance: variance!,
      gamma: gamma!,
      beta: beta!,
      step,
      gradient: gradient!,
      partials: scratch([kernels.batchNormChunks(shape).chunks, 2, shape.channels]),
      gammaGradient: gammaGradient!,
      betaGradient: betaGradient!,
      coefficients: coefficients!,
    });
  },
};

/** Inputs: mean, variance, gamma, beta. Output: coefficients. */
const coefficientsOp: Op<undefined> = {
  name: 'batch_norm_coefficients',
  outputs: ([mean]) => [[5, mean!.shape[0]!]],
  lower: ({ inputs: [mean, variance, gamma, beta], outputs: [coefficients] }) => [
    kernels.batchNormCoefficients(mean!.shape[0]!, {
      mean: mean!,
      variance: variance!,
      gamma: gamma!,
      beta: beta!,
      coefficients: coefficients!,
    }),
  ],
};

/** Inputs: x, the output's gradient, coefficients, step where there is dropout, and last the residual where there is one. */
const backwardOp: Op<Fold & { residual: boolean }> = {
  name: 'batch_norm_backward',
  outputs: ([x]) => [x!.shape],
  lower({ inputs, outputs: [y], attributes }) {
    const [x, gradient, coefficients] = inputs;
    return [
      kernels.batchNormBackward(matrix(x!), attributes, {
        x: x!,
        gradient: gradient!,
        coefficients: coefficients!,
        step: attributes.dropout > 0 ? inputs[3] : undefined,
        residual: attributes.residual ? inputs.at(-1) : undefined,
        y: y!,
      }),
    ];
  },
  plus: ({ inputs, attributes }, addend) =>
    addend.graph.apply(backwardOp, [...inputs, addend], { ...attributes, residual: true })[0]!,
};

/** Statistics over all axes but the last. */
export interface BatchStatistics {
  /** [channels] */
  readonly mean: Tensor;
  /** [channels], biased: what normalises. */
  readonly variance: Tensor;
  /** [channels], divided by n - 1: what the running variance takes up. */
  readonly unbiased: Tensor;
}

/** Mean and variance of each channel of `x` (channels last). Differentiated only together with {@link batchNorm}. */
export function batchStatistics(x: Tensor): BatchStatistics {
  const [mean, variance, unbiased] = x.graph.apply(statisticsOp, [x], undefined) as [Tensor, Tensor, Tensor];
  return { mean, variance, unbiased };
}

/**
 * Batch norm (Ioffe & Szegedy 2015; epsilon 1e-5), with ReLU and inverted dropout folded in where asked for:
 * y = dropout(relu((x - mean) / sqrt(variance + epsilon) * gamma + beta)).
 * @param x [.., channels]
 * @param statistics [channels] each: those of `batchStatistics(x)` in training, running ones in evaluation
 * @param parameters gamma and beta, [channels] each
 * @param options.dropout the probability, the stream that tells layers apart, and the step tensor (u32 [4])
 * @throws ShapeError where the shapes do not fit
 */
export function batchNorm(
  x: Tensor,
  statistics: { mean: Tensor; variance: Tensor },
  parameters: { gamma: Tensor; beta: Tensor },
  options: { relu?: boolean; dropout?: { rate: number; stream: number; step: Tensor } } = {},
): Tensor {
  const { relu = false, dropout } = options;
  const inputs = [x, statistics.mean, statistics.variance, parameters.gamma, parameters.beta];
  const drops = dropout !== undefined && dropout.rate > 0;
  return x.graph.apply(batchNormOp, drops ? [...inputs, dropout.step] : inputs, {
    relu,
    dropout: dropout?.rate ?? 0,
    stream: dropout?.stream ?? 0,
  })[0]!;
}
