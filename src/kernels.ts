/**
 * `energate/kernels`: {@link energyHinge}, the fused energy kernel ready to run; and every kernel as a function from shapes and
 * buffers to a {@link Dispatch}. On an engine, `record(pass, [await engine.prepare(dispatch)])` puts one into a pass;
 * {@link specialise} gives its WGSL to whoever makes pipelines for themselves. Convolutions and matrix products are written in several
 * ways: their options say which, and {@link Engine.traits} are those that a device is best at.
 */
export * from './errors.js';
export { Engine, type PreparedDispatch, record, type Storage } from './gpu/engine.js';
export { EnergyHinge, type EnergyHingeResult, type EnergyHingeShape, energyHinge } from './graph/energy-hinge.js';
export * from './kernels/batch-norm.js';
export * from './kernels/conv2d.js';
export {
  type Constant,
  type DeviceTraits,
  type Dispatch,
  type ShaderName,
  type ShaderSpecialisation,
  type SubgroupMatrices,
  specialise,
} from './kernels/dispatch.js';
export * from './kernels/elementwise.js';
export * from './kernels/energy-loss.js';
export * from './kernels/gather-images.js';
export * from './kernels/input-step.js';
export * from './kernels/matmul.js';
export * from './kernels/reduce.js';
export * from './kernels/rows.js';
export * from './kernels/sgd.js';
