import * as kernels from '../../kernels/input-step.js';
import { type Op, requireShape, sizeOf, type Tensor } from '../graph.js';

const odinSeedOp: Op<{ readonly temperature: number }> = {
  name: 'odin_seed',
  outputs([logits]) {
    requireShape('odin_seed', 'logits', logits!, [-1, -1]);
    return [logits!.shape];
  },
  lower({ inputs: [logits], outputs: [gradient], attributes }) {
    const [rows, classes] = logits!.shape as [number, number];
    return [kernels.odinSeed({ rows, classes, ...attributes }, { logits: logits!, gradient: gradient! })];
  },
};

/**
 * The gradient of the cross-entropy CE(logits / T, argmax logits) of each row with respect to `logits` [batch, classes]:
 * where ODIN's differentiation starts (Liang et al. 2018, eq. 2).
 */
export function odinSeed(logits: Tensor, options: { temperature: number }): Tensor {
  return logits.graph.apply(odinSeedOp, [logits], options)[0]!;
}

const nearestMeanOp: Op<undefined> = {
  name: 'nearest_mean',
  outputs([z, means]) {
    requireShape('nearest_mean', 'points', z!, [-1, -1]);
    requireShape('nearest_mean', 'means', means!, [-1, z!.shape[1]!]);
    return [z!.shape];
  },
  lower({ inputs: [z, means], outputs: [residual] }) {
    const [rows, size] = z!.shape as [number, number];
    const shape = { rows, count: means!.shape[0]!, size };
    return [kernels.nearestMean(shape, { z: z!, means: means!, residual: residual! })];
  },
};

/** Each row of `z` [batch, size] less the nearest row of `means` [count, size]. */
export function nearestMeanResidual(z: Tensor, means: Tensor): Tensor {
  return z.graph.apply(nearestMeanOp, [z, means], undefined)[0]!;
}

interface StepAttributes {
  readonly epsilon: number;
  readonly std: readonly [number, number, number];
}

const inputStepOp: Op<StepAttributes> = {
  name: 'input_step',
  outputs([images, gradient]) {
    requireShape('input_step', 'images', images!, [-1, -1, -1, 3]);
    requireShape('input_step', 'gradient', gradient!, images!.shape);
    return [images!.shape];
  },
  lower: ({ inputs: [x, gradient], outputs: [y], attributes }) => [
    kernels.inputStep({ count: sizeOf(x!.shape), ...attributes }, { x: x!, gradient: gradient!, y: y! }),
  ],
};

/**
 * images - epsilon sign(gradient) / std, with sign(0) = 1 (ODIN's and Mahalanobis' input step): less of what `gradient` is of.
 * @param images [batch, height, width, 3], normalised; `gradient` likewise
 * @param options.std of the normalisation, one a channel
 */
export function inputStep(images: Tensor, gradient: Tensor, options: StepAttributes): Tensor {
  return images.graph.apply(inputStepOp, [images, gradient], options)[0]!;
}
