import { ShapeError } from '../../errors.js';
import type { BatchNormFold } from '../../kernels/batch-norm.js';
import * as kernels from '../../kernels/conv2d.js';
import { sumLeading } from '../../kernels/reduce.js';
import {
  areHalf,
  isHalf,
  type LoweringOptions,
  type Op,
  requireShape,
  showShape,
  sizeOf,
  type Tensor,
} from '../graph.js';

type Conv2dShape = kernels.Conv2dShape;

/** A filter as the kernel binds it: whole, or row by row. */
function partsOf(w: Tensor, options: kernels.ConvolutionOptions): Tensor[] {
  const [kernel, , inChannels, outChannels] = w.shape as [number, number, number, number];
  const { parts } = kernels.filterParts({ kernel, inChannels, outChannels }, options);
  if (parts === 1) return [w];
  const shape = [kernel / parts, kernel, inChannels, outChannels];
  return Array.from({ length: parts }, (_, i) => w.graph.view(w, `${w.name} row ${i}`, i * sizeOf(shape), shape));
}

/** How a convolution from x to y is computed, with `others` stored like y. */
const kernelOptions = (
  x: Tensor,
  [y, ...others]: readonly [Tensor, ...(Tensor | undefined)[]],
  options: LoweringOptions,
): kernels.ConvolutionOptions => ({
  workgroupMemory: options.workgroupMemory,
  lanes: options.lanes,
  llvm: options.llvm,
  matrices: options.matrices,
  float16: { input: isHalf(x, options), output: areHalf('conv2d', [y, ...others], options) },
});

/** Inputs: x, w and, where there is one, the residual. Outputs: y and, where they are asked for, its statistics. */
const conv2dOp: Op<Conv2dShape> = {
  name: 'conv2d',
  float16: 1,
  outputs([, , residual], shape) {
    const { height, width } = kernels.conv2dOutput(shape);
    const output = [shape.batch, height, width, shape.outChannels];
    if (residual) requireShape('conv2d', 'residual', residual, output);
    return [output];
  },
  lower({ inputs: [x, w, residual], outputs: [y, partials], attributes }, _, options) {
    const how = kernelOptions(x!, [y!, residual], options);
    return [kernels.conv2dForward(attributes, { x: x!, w: partsOf(w!, how), y: y!, residual, partials }, how)];
  },
  chunks: ({ inputs: [x], outputs: [y], attributes }, options) =>
    kernels.conv2dChunks(attributes, kernelOptions(x!, [y!], options)).forward,
  statistics: (node) =>
    node.outputs[1] ??
    node.outputs[0]!.graph.amend(node, {}, [
      kernels.conv2dMostChunks(node.attributes).forward,
      3,
      node.attributes.outChannels,
    ]),
  vjp({ inputs: [x, w], attributes }, [gradient], needed) {
    const { graph } = x!;
    return [
      needed[0]
        ? graph.apply(backwardDataOp, [gradient!, w!], { ...attributes, residual: false, fold: undefined })[0]
        : undefined,
      needed[1] ? graph.apply(backwardWeightsOp, [x!, gradient!], attributes)[0] : undefined,
      gradient,
    ];
  },
};

/** Inputs: x, w, affine and, where there is one, the residual. Outputs: the sum, where it is kept, and the activation. */
const conv2dActivatedOp: Op<Conv2dShape & { keep: boolean }> = {
  name: 'conv2d_activated',
  float16: 2,
  outputs([, , affine, residual], { keep, ...shape }) {
    const { height, width } = kernels.conv2dOutput(shape);
    const output = [shape.batch, height, width, shape.outChannels];
    requireShape('conv2d', 'affine', affine!, [2, shape.outChannels]);
    if (residual) requireShape('conv2d', 'residual', residual, output);
    return keep ? [output, output] : [output];
  },
  lower({ inputs: [x, w, affine, residual], outputs: [y, activated], attributes }, _, options) {
    const how = kernelOptions(x!, [y!, residual], options);
    const activation = { affine: affine!, activated };
    return [kernels.conv2dForward(attributes, { x: x!, w: partsOf(w!, how), y: y!, residual, activation }, how)];
  },
};

type BackwardData = Conv2dShape & { residual: boolean; fold: BatchNormFold | undefined };

/**
 * Inputs: the output's gradient, the filter, where there is one the residual, and where `fold` those of the batch norm whose
 * sums are made as well: x, figures and, where there is dropout, step. Outputs: the gradient, and those sums.
 */
const backwardDataOp: Op<BackwardData> = {
  name: 'conv2d_backward_data',
  float16: 1,
  outputs: (_, shape) => [[shape.batch, shape.inHeight, shape.inWidth, shape.inChannels]],
  lower({ inputs, outputs: [y, partials], attributes: { residual, fold, ...shape } }, _, options) {
    const [gradient, w, ...rest] = inputs;
    const buffers = { gradient: gradient!, y: y!, residual: residual ? rest.shift() : undefined };
    const [x, figures, step] = rest;
    const how = kernelOptions(gradient!, [y!, buffers.residual, x], options);
    const reduction = fold && { partials: partials!, batchNorm: { x: x!, figures: figures!, step, fold } };
    return [kernels.conv2dBackwardData(shape, { ...buffers, w: partsOf(w!, how), reduction }, how)];
  },
  chunks: ({ inputs: [gradient], outputs: [y], attributes }, options) =>
    kernels.conv2dChunks(attributes, kernelOptions(gradient!, [y!], options)).backward,
  plus(node, addend) {
    if (node.attributes.residual || node.attributes.fold) return false;
    addend.graph.amend(node, { inputs: [addend], attributes: { residual: true } });
    return true;
  },
  gradientSums(node, { x, figures, step, fold }) {
    const { graph } = x;
    const shape = node.attributes;
    if (shape.fold || !kernels.conv2dReducesGradients(shape)) return undefined;
    const inputs = [x, figures, ...(fold.dropout > 0 ? [step!] : [])];
    if (!inputs.every((input) => graph.isAfter(node.outputs[0]!, input))) return undefined;
    return graph.amend(node, { inputs, attributes: { fold } }, [
      kernels.conv2dMostChunks(shape).backward,
      2,
      shape.inChannels,
    ]);
  },
};

const backwardWeightsOp: Op<Conv2dShape> = {
  name: 'conv2d_backward_weights',
  float16: 0,
  outputs: (_, { kernel, inChannels, outChannels }) => [[kernel, kernel, inChannels, outChannels]],
  lower({ inputs: [x, gradient], outputs: [y], attributes }, scratch, options) {
    const how = kernelOptions(x!, [gradient!], options);
    const splits = kernels.conv2dSplits(attributes, how);
    const partials = scratch([splits, ...y!.shape]);
    return [
      kernels.conv2dBackwardWeights(attributes, { x: x!, gradient: gradient!, partials }, how),
      sumLeading({ count: splits, size: sizeOf(y!.shape) }, { x: partials, y: y! }, options),
    ];
  },
};

/** The shape of a convolution of these tensors. @throws ShapeError where they do not fit */
function shapeOf(x: Tensor, w: Tensor, stride: number): Conv2dShape {
  requireShape('conv2d', 'input', x, [-1, -1, -1, -1]);
  const [batch, inHeight, inWidth, inChannels] = x.shape as [number, number, number, number];
  requireShape('conv2d', 'filter', w, [-1, w.shape[0]!, inChannels, -1]);
  const [kernel, , , outChannels] = w.shape as [number, number, number, number];
  if (kernel % 2 === 0) throw new ShapeError(`conv2d: filter ${w.name} of ${showShape(w.shape)} has an even size`);
  if (!(Number.isInteger(stride) && stride >= 1))
    throw new ShapeError(`conv2d: a stride of ${stride} is no whole number above 0`);
  return { batch, inHeight, inWidth, inChannels, outChannels, kernel, stride };
}

/**
 * Convolution with zero padding (kernel - 1) / 2, so that the output has ceil(size / stride) pixels a side.
 * @param x [batch, height, width, inChannels]
 * @param w [kernel, kernel, inChannels, outChannels], kernel odd
 * @param options.residual of the output's shape, added to it
 * @throws ShapeError where the shapes do not fit
 */
export function conv2d(x: Tensor, w: Tensor, options: { stride: number; residual?: Tensor | undefined }): Tensor {
  const shape = shapeOf(x, w, options.stride);
  return x.graph.apply(conv2dOp, options.residual ? [x, w, options.residual] : [x, w], shape)[0]!;
}

/**
 * {@link conv2d} with the batch norm (of fixed statistics) and ReLU that follow it folded into its store. Not differentiated.
 * @param options.affine [2, outChannels]: gamma / sqrt(variance + epsilon), and beta - mean times that
 * @param options.keep whether the sum before the batch norm is wanted as well
 * @returns relu(sum * affine[0] + affine[1]), and the sum
 * @throws ShapeError where the shapes do not fit
 */
export function conv2dActivated(
  x: Tensor,
  w: Tensor,
  options: { stride: number; affine: Tensor; residual?: Tensor | undefined; keep?: boolean },
): { activated: Tensor; sum: Tensor | undefined } {
  const { stride, affine, residual, keep = false } = options;
  const inputs = residual ? [x, w, affine, residual] : [x, w, affine];
  const outputs = x.graph.apply(conv2dActivatedOp, inputs, { ...shapeOf(x, w, stride), keep });
  return { activated: outputs.at(-1)!, sum: keep ? outputs[0] : undefined };
}
