import { expect, it } from 'vitest';
import { NORMALIZATIONS } from '../../src/data/normalization.js';
import { plan } from '../../src/graph/plan.js';
import { partsOf, specialise } from '../../src/kernels/dispatch.js';
import { stateLayout } from '../../src/nn/device-state.js';
import { trainingStep } from '../../src/nn/trainer.js';
import { wideResNet } from '../../src/nn/wide-resnet.js';
import { OPTIONS } from '../support/training.js';

/** NVIDIA's. */
const MATRICES = { height: 16, width: 16, terms: 16, lanes: 32 };

const SIZE = { height: 32, width: 32 };

/** A set that is planned for and never uploaded. */
const images = (count: number) => ({
  chunks: [{ storage: { buffer: {} as GPUBuffer, offset: 0, size: count * 3072 }, start: 0, count }],
});

const batches = { batch: 32, outlierBatch: 64 };

it.each([
  ['WRN-10-1', { depth: 10, width: 1, ...batches }],
  ['WRN-16-2', { depth: 16, width: 2, ...batches }],
  ['WRN-40-2', { depth: 40, width: 2, ...batches }],
  ['WRN-40-2 at the size of the paper', { depth: 40, width: 2, batch: 128, outlierBatch: 256 }],
])('a fine-tuning step of a %s: few dispatches a convolution, 1.3 times the memory that is alive', (_, size) => {
  const { depth, width, batch, outlierBatch } = size;
  const network = wideResNet({ depth, width, classes: 10 }, { seed: 1, normalization: NORMALIZATIONS.cifar });
  const layout = stateLayout(network.config);
  const options = { ...OPTIONS, dropout: 0.3, augment: true, batch, outlierBatch };
  const { graph } = trainingStep(network, layout, [images(batch), images(outlierBatch)], SIZE, options);
  const convolutions = [...network.state.values()].filter(({ shape }) => shape.length === 4).length;
  for (const { options, most } of [
    { options: { softwareCompiler: true, lanes: 8, llvm: true }, most: 5 },
    { options: { softwareCompiler: true, lanes: 4 }, most: 5 },
    { options: { softwareCompiler: true }, most: 5 },
    // A GPU has a dispatch more for each batch norm's chunks, in both directions, as there are many; and large kernels run alone there.
    { options: { workgroupMemory: true }, most: 7.5 },
    { options: { workgroupMemory: true, float16: true }, most: 7.5 },
    { options: { workgroupMemory: true, float16: true, matrices: MATRICES }, most: 7.5 },
  ]) {
    const { dispatches, slots, peakBytes } = plan(graph, [], options);
    expect(dispatches.length).toBeLessThan(most * convolutions);
    expect(slots.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(1.3 * peakBytes);
  }
});

it.each([
  ['lavapipe', { softwareCompiler: true, lanes: 8, llvm: true }],
  ['SwiftShader', { softwareCompiler: true, lanes: 4 }],
  ['a GPU', { workgroupMemory: true }],
])('layers of one shape are one kernel on %s: more blocks make no more', (_, planned) => {
  const kernels = [28, 40].map((depth) => {
    const network = wideResNet({ depth, width: 2, classes: 10 }, { seed: 1, normalization: NORMALIZATIONS.cifar });
    const { graph } = trainingStep(network, stateLayout(network.config), [images(6), images(10)], SIZE, OPTIONS);
    return new Set(plan(graph, [], planned).dispatches.map((dispatch) => specialise(dispatch))).size;
  });
  expect(kernels[0]).toBe(kernels[1]);
});

it('each block’s dropout takes a row of the steps of its own, in both directions', () => {
  const network = wideResNet({ depth: 16, width: 1, classes: 10 }, { seed: 1, normalization: NORMALIZATIONS.cifar });
  const { graph, steps } = trainingStep(network, stateLayout(network.config), [images(6), images(10)], SIZE, OPTIONS);
  const rowsOf = (op: string) =>
    graph.nodes
      .filter((node) => node.op.name === op)
      .flatMap(({ inputs }) => inputs.filter(({ view }) => view?.base === steps).map(({ view }) => view!.offset / 64));
  expect(rowsOf('batch_norm')).toEqual([1, 2, 3, 4, 5, 6]);
  expect(rowsOf('batch_norm_backward')).toEqual([6, 5, 4, 3, 2, 1]);
});

it('on matrix units: all convolutions but the stem, in all three directions', () => {
  const network = wideResNet({ depth: 16, width: 2, classes: 10 }, { seed: 1, normalization: NORMALIZATIONS.cifar });
  const { graph } = trainingStep(network, stateLayout(network.config), [images(128), images(256)], SIZE, {
    ...OPTIONS,
    batch: 128,
    outlierBatch: 256,
  });
  const { dispatches } = plan(graph, [], { workgroupMemory: true, float16: true, matrices: MATRICES });
  const shaders = dispatches.flatMap((dispatch) => partsOf(dispatch).map(({ shader }) => shader));
  const times = (name: string) => shaders.filter((shader) => shader === name).length;
  // 16 convolutions, of which the stem has no backward-data.
  expect(times('conv2d_matrix')).toBe(30);
  expect(times('conv2d_backward_weights_matrix')).toBe(15);
});

it('float16 activations take little more than half the memory', () => {
  const network = wideResNet({ depth: 40, width: 2, classes: 10 }, { seed: 1, normalization: NORMALIZATIONS.cifar });
  const options = { ...OPTIONS, batch: 128, outlierBatch: 256 };
  const { graph } = trainingStep(network, stateLayout(network.config), [images(128), images(256)], SIZE, options);
  const [half, full] = [true, false].map((float16) => plan(graph, [], { workgroupMemory: true, float16 }).peakBytes);
  expect(half! / full!).toBeLessThan(0.52);
});
