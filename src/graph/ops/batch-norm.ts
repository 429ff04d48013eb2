import { ShapeError } from '../../errors.js';
import * as kernels from '../../kernels/batch-norm.js';
import {
  areHalf,
  type Gradient,
  isHalf,
  type LoweringOptions,
  type Op,
  requireShape,
  sizeOf,
  type Tensor,
} from '../graph.js';
import { requireRate } from './elementwise.js';

type Fold = kernels.BatchNormFold;

/** A tensor with its channels last, as batch norm sees it. */
export const matrix = (x: Tensor): kernels.BatchNormShape => {
  const channels = x.shape.at(-1)!;
  return { rows: sizeOf(x.shape) / channels, channels };
};

/** How many chunks `partials` has. */
const chunksOf = (partials: Tensor, options: LoweringOptions): number =>
  partials.node!.op.chunks?.(partials.node!, options) ?? partials.shape[0]!;

/** Chunks that every workgroup of a GPU merges in less time than another dispatch takes. */
const FEW_CHUNKS = 64;

const mergesApart = (chunks: number, { workgroupMemory = false }: LoweringOptions) =>
  workgroupMemory && chunks > FEW_CHUNKS;

/** Statistics of chunks of x, where no convolution makes them as it stores x. */
const partialsOp: Op<undefined> = {
  name: 'batch_norm_partials',
  float16: 0,
  outputs: ([x]) => [[kernels.batchNormMostChunks(matrix(x!)), 3, x!.shape.at(-1)!]],
  lower: ({ inputs: [x], outputs: [partials] }, _, options) => [
    kernels.batchNormPartials(
      matrix(x!),
      { x: x!, partials: partials! },
      { float16: isHalf(x!, options), workgroupMemory: options.workgroupMemory },
    ),
  ],
  chunks: ({ inputs: [x] }, options) => kernels.batchNormChunks(matrix(x!), options),
};

/** Inputs: x, its partials, gamma, beta and, where there is dropout, step. Outputs: y, mean, unbiased variance, figures. */
const trainingOp: Op<Fold> = {
  name: 'batch_norm',
  float16: 1,
  outputs([x, , gamma, beta]) {
    const channels = x!.shape.at(-1)!;
    for (const tensor of [gamma!, beta!]) requireShape('batch_norm', 'parameter', tensor, [channels]);
    return [x!.shape, [channels], [channels], [4, channels]];
  },
  lower({ inputs: [x, partials, gamma, beta, step], outputs: [y, mean, unbiased, figures], attributes }, _, options) {
    const chunks = chunksOf(partials!, options);
    const statistics = {
      partials: partials!,
      gamma: gamma!,
      beta: beta!,
      mean: mean!,
      unbiased: unbiased!,
      figures: figures!,
    };
    const normalised = { x: x!, y: y!, figures: figures!, step };
    const kernel = { ...attributes, float16: areHalf('batch_norm', [x!, y], options) };
    const { workgroupMemory } = options;
    if (mergesApart(chunks, options)) {
      return [
        kernels.batchNormMerge(matrix(x!), chunks, statistics),
        kernels.batchNormApplyFixed(matrix(x!), { ...kernel, workgroupMemory }, normalised),
      ];
    }
    return [
      kernels.batchNormApply(matrix(x!), { ...kernel, chunks, workgroupMemory }, { ...statistics, ...normalised }),
    ];
  },
  vjp({ inputs: [x, , , , step], outputs: [, , , figures], attributes }, [gradient]) {
    const [dx, dGamma, dBeta] = backward({ x: x!, gradient, figures: figures!, step }, attributes, true);
    return [dx, undefined, dGamma, dBeta];
  },
};

/** Inputs: x, mean, variance, gamma, beta and, where there is dropout, step. Outputs: y, figures. */
const fixedOp: Op<Fold> = {
  name: 'batch_norm_fixed',
  float16: 1,
  outputs([x, mean, variance, gamma, beta]) {
    const channels = x!.shape.at(-1)!;
    for (const tensor of [mean!, variance!, gamma!, beta!]) {
      requireShape('batch_norm', 'statistic or parameter', tensor, [channels]);
    }
    return [x!.shape, [4, channels]];
  },
  lower({ inputs: [x, mean, variance, gamma, beta, step], outputs: [y, figures], attributes }, _, options) {
    const kernel = {
      ...attributes,
      float16: areHalf('batch_norm', [x!, y], options),
      workgroupMemory: options.workgroupMemory,
    };
    const given = { mean: mean!, variance: variance!, gamma: gamma!, beta: beta!, figures: figures! };
    return [
      kernels.batchNormFigures(x!.shape.at(-1)!, given),
      kernels.batchNormApplyFixed(matrix(x!), kernel, { x: x!, y: y!, figures: figures!, step }),
    ];
  },
  vjp({ inputs: [x, , , , , step], outputs: [, figures], attributes }, [gradient], needed) {
    if (needed[1] || needed[2]) {
      throw new ShapeError(`batch_norm: cannot differentiate through the statistics given for ${x!.name}`);
    }
    if (!needed[3] && !needed[4]) {
      const inputs = [x!, gradient!, figures!, ...(step ? [step] : [])];
      return x!.graph.apply(backwardInputOp, inputs, { ...attributes, residual: false });
    }
    const [dx, dGamma, dBeta] = backward({ x: x!, gradient, figures: figures!, step }, attributes, false);
    return [dx, undefined, undefined, dGamma, dBeta];
  },
};

/** Gradients of x, gamma and beta. */
function backward(
  { x, gradient, figures, step }: { x: Tensor; gradient: Gradient; figures: Tensor; step: Tensor | undefined },
  fold: Fold,
  batchStatistics: boolean,
): readonly Tensor[] {
  const { graph } = x;
  const steps = step ? [step] : [];
  const partials =
    gradient!.node?.op.gradientSums?.(gradient!.node, { x, figures, step, fold }) ??
    graph.apply(backwardPartialsOp, [x, gradient!, figures, ...steps], fold)[0]!;
  const attributes = { ...fold, batchStatistics, residual: false };
  return graph.apply(backwardOp, [x, gradient!, figures, partials, ...steps], attributes);
}

/** Inputs: x, the output's gradient, figures, step where there is dropout. */
const backwardPartialsOp: Op<Fold> = {
  name: 'batch_norm_backward_partials',
  float16: 0,
  outputs: ([x]) => [[kernels.batchNormMostChunks(matrix(x!)), 2, x!.shape.at(-1)!]],
  lower({ inputs: [x, gradient, figures, step], outputs: [partials], attributes }, _, options) {
    const kernel = { ...attributes, float16: areHalf('batch_norm', [x!, gradient], options) };
    const buffers = { x: x!, gradient: gradient!, figures: figures!, step, partials: partials! };
    const { workgroupMemory } = options;
    return [kernels.batchNormBackwardPartials(matrix(x!), kernel, buffers, { workgroupMemory })];
  },
  chunks: ({ inputs: [x] }, options) => kernels.batchNormChunks(matrix(x!), options),
};

/**
 * Inputs: x, the output's gradient, figures, partials, step where there is dropout, and last the residual where there is one.
 * Outputs: gradients of x, gamma and beta.
 */
const backwardOp: Op<Fold & { residual: boolean; batchStatistics: boolean }> = {
  name: 'batch_norm_backward',
  float16: 1,
  outputs: ([x]) => [x!.shape, [x!.shape.at(-1)!], [x!.shape.at(-1)!]],
  lower(
    { inputs, outputs: [y, gammaGradient, betaGradient], attributes: { residual, ...attributes } },
    scratch,
    options,
  ) {
    const [x, gradient, figures, partials] = inputs;
    const chunks = chunksOf(partials!, options);
    const buffers = {
      x: x!,
      gradient: gradient!,
      figures: figures!,
      step: attributes.dropout > 0 ? inputs[4] : undefined,
      residual: residual ? inputs.at(-1) : undefined,
      y: y!,
    };
    const kernel = { ...attributes, float16: areHalf('batch_norm', [x!, gradient, buffers.residual, y], options) };
    const { workgroupMemory } = options;
    const gradients = { partials: partials!, gammaGradient: gammaGradient!, betaGradient: betaGradient! };
    if (mergesApart(chunks, options)) {
      const sums = scratch([2, x!.shape.at(-1)!]);
      return [
        kernels.batchNormMergeGradients(matrix(x!), chunks, { ...gradients, sums }),
        kernels.batchNormBackwardInput(
          matrix(x!),
          { ...kernel, workgroupMemory },
          { ...buffers, sums: attributes.batchStatistics ? sums : undefined },
        ),
      ];
    }
    return [
      kernels.batchNormBackward(matrix(x!), { ...kernel, chunks, workgroupMemory }, { ...buffers, ...gradients }),
    ];
  },
  plus(node, addend) {
    if (node.attributes.residual) return false;
    addend.graph.amend(node, { inputs: [addend], attributes: { residual: true } });
    return true;
  },
};

/** Inputs: x, the output's gradient, figures, step where there is dropout, and last the residual where there is one. */
const backwardInputOp: Op<Fold & { residual: boolean }> = {
  name: 'batch_norm_backward_input',
  float16: 1,
  outputs: ([x]) => [x!.shape],
  lower({ inputs, outputs: [y], attributes: { residual, ...fold } }, _, options) {
    const [x, gradient, figures] = inputs;
    const step = fold.dropout > 0 ? inputs[3] : undefined;
    const addend = residual ? inputs.at(-1) : undefined;
    return [
      kernels.batchNormBackwardInput(
        matrix(x!),
        {
          ...fold,
          float16: areHalf('batch_norm', [x!, gradient, addend, y], options),
          workgroupMemory: options.workgroupMemory,
        },
        {
          x: x!,
          gradient: gradient!,
          figures: figures!,
          step,
          residual: addend,
          y: y!,
        },
      ),
    ];
  },
  plus(node, addend) {
    if (node.attributes.residual) return false;
    addend.graph.amend(node, { inputs: [addend], attributes: { residual: true } });
    return true;
  },
};

/** What follows batch norm in one op: ReLU, and dropout by probability and step (u32 [4]: number, seed, .., a stream that tells layers apart). */
export interface BatchNormOptions {
  readonly relu?: boolean;
  readonly dropout?: { readonly rate: number; readonly step: Tensor };
}

/** @throws UsageError where the dropout rate is no probability below 1 */
function foldOf({ relu = false, dropout }: BatchNormOptions): { fold: Fold; step: readonly Tensor[] } {
  if (dropout) requireRate(dropout.rate);
  return {
    fold: { relu, dropout: dropout?.rate ?? 0 },
    step: dropout && dropout.rate > 0 ? [dropout.step] : [],
  };
}

/**
 * Batch norm with given statistics, as in evaluation (Ioffe & Szegedy 2015; epsilon 1e-5), with ReLU and inverted dropout
 * folded in where asked for: y = dropout(relu((x - mean) / sqrt(variance + epsilon) * gamma + beta)).
 * @param x [.., channels]
 * @param statistics [channels] each
 * @param parameters gamma and beta, [channels] each
 * @throws ShapeError where the shapes do not fit
 */
export function batchNorm(
  x: Tensor,
  { mean, variance }: { mean: Tensor; variance: Tensor },
  { gamma, beta }: { gamma: Tensor; beta: Tensor },
  options: BatchNormOptions = {},
): Tensor {
  const { fold, step } = foldOf(options);
  return x.graph.apply(fixedOp, [x, mean, variance, gamma, beta, ...step], fold)[0]!;
}

/** Statistics of a batch over all axes but the last. */
export interface BatchStatistics {
  /** [channels] */
  readonly mean: Tensor;
  /** [channels], divided by n - 1: what the running variance takes up. */
  readonly unbiased: Tensor;
}

/**
 * Batch norm with the statistics of `x` itself, as in training; otherwise as {@link batchNorm}. Its gradient goes through the
 * statistics. Where a convolution makes x, it takes them as it stores it.
 * @returns y, and the statistics (which are not differentiated)
 */
export function batchNormTraining(
  x: Tensor,
  { gamma, beta }: { gamma: Tensor; beta: Tensor },
  options: BatchNormOptions = {},
): { y: Tensor; statistics: BatchStatistics } {
  const { fold, step } = foldOf(options);
  const isFirst = x.node?.outputs[0] === x;
  const partials = (isFirst && x.node.op.statistics?.(x.node)) || x.graph.apply(partialsOp, [x], undefined)[0]!;
  const [y, mean, unbiased] = x.graph.apply(trainingOp, [x, partials, gamma, beta, ...step], fold) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  return { y, statistics: { mean, unbiased } };
}
