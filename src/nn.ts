/**
 * `energate/nn`: graphs, ops and their gradients, compiled programs; WideResNet, training, scoring; image sets. All of it
 * is in `energate` too.
 */

export { type ImageSet, type ImageSource, type Images, imageSetFromNpz } from './data/image-set.js';
export { NORMALIZATIONS, parseNormalization } from './data/normalization.js';
export {
  CLASS_NAMES,
  OOD_FAMILIES,
  syntheticImages,
  syntheticOod,
  syntheticOutliers,
} from './data/synthetic/index.js';
export { VALIDATION_FAMILIES, type ValidationFamily, validationOutliers } from './data/validation-outliers.js';
export * from './errors.js';
export { type Counters, Engine, type EngineOptions, type Storage } from './gpu/engine.js';
export { tileDatabase } from './gpu/tile-database.js';
export { type TileMemory, Tuner } from './gpu/tuner.js';
export { gradients } from './graph/differentiate.js';
export { type DType as TensorDType, Graph, type Shape, type Tensor } from './graph/graph.js';
export { type BatchStatistics, batchNorm, batchNormTraining } from './graph/ops/batch-norm.js';
export { conv2d, conv2dActivated } from './graph/ops/conv2d.js';
export { add, dropout, relu } from './graph/ops/elementwise.js';
export {
  energyLoss,
  LOG_FIELDS,
  LOG_WIDTH,
  lossStatistics,
  type MixedBatch,
  type Regulariser,
} from './graph/ops/energy-loss.js';
export { type GatherSource, gatherImages, type Normalization } from './graph/ops/gather-images.js';
export { matmul } from './graph/ops/matmul.js';
export { pack, sgd, updateRunningStatistics } from './graph/ops/optimiser.js';
export { globalAveragePool } from './graph/ops/pool.js';
export { type KernelTime, Program } from './graph/program.js';
export type { SubgroupMatrices } from './kernels/dispatch.js';
export { type Checkpoint, decodeCheckpoint, encodeCheckpoint, fingerprints } from './nn/checkpoint.js';
export { Classifier, type Outputs } from './nn/classifier.js';
export { type FoldedBatchNorms, foldBatchNorms, foldedInputs } from './nn/folding.js';
export { type EnergyStatistics, type Margins, measureEnergies, proposeMargins } from './nn/margins.js';
export { type Network, networkFromState, parameterCount, stateDictOf, type WideResNetConfig } from './nn/network.js';
export { decodeNetwork, encodeNetwork } from './nn/network-file.js';
export { cosineRate } from './nn/schedule.js';
export { decodeFits, encodeFits, type Fits, fitScores, type SetScores, scoreSets } from './nn/scorer.js';
export {
  OPTIMISER,
  type StepLog,
  Trainer,
  type TrainingData,
  type TrainingOptions,
  type TrainingState,
} from './nn/trainer.js';
export { foldedForward, wideResNet, wideResNetForward } from './nn/wide-resnet.js';
