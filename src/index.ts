/**
 * `energate`: train, fine-tune and score image classifiers that know when an input is out of distribution, on WebGPU. This
 * face runs wherever WebGPU does; `energate/node` adds what Node needs (an adapter, files). It has all of `energate/nn` and
 * `energate/ood`, and gates and file formats.
 */

export * from './errors.js';
export type { DType, NdArray } from './formats/array.js';
export { readNpz, writeNpz } from './formats/npz.js';
export { readSafetensors, writeSafetensors } from './formats/safetensors.js';
export { readStateDict, type StateDict } from './formats/state-dict.js';
export { writeTorch } from './formats/torch-writer.js';
export { calibrateGate, type GateOptions } from './gate/calibrate.js';
export { type Decision, Detector, type DeviceBytes, type GateImage } from './gate/detector.js';
export { atPrecision, type Gate, type Precision } from './gate/gate.js';
export { decodeGate, encodeGate } from './gate/gate-file.js';
export { fitPicture, type Picture } from './gate/resize.js';
export * from './nn.js';
export * from './ood.js';
