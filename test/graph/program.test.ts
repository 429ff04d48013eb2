import { describe, expect, it } from 'vitest';
import { DeviceError, UsageError } from '../../src/errors.js';
import { gradients } from '../../src/graph/differentiate.js';
import { Graph, type Tensor, VIEW_ALIGNMENT } from '../../src/graph/graph.js';
import { batchNormTraining } from '../../src/graph/ops/batch-norm.js';
import { conv2d } from '../../src/graph/ops/conv2d.js';
import { add, relu } from '../../src/graph/ops/elementwise.js';
import { matmul } from '../../src/graph/ops/matmul.js';
import { pack, sgd } from '../../src/graph/ops/optimiser.js';
import { globalAveragePool } from '../../src/graph/ops/pool.js';
import { Program } from '../../src/graph/program.js';
import { engine } from '../support/gpu.js';
import { noise } from '../support/numbers.js';

/** A small network's training step: parameters in an arena, their gradients packed alike, SGD on all of them. */
function trainingStep() {
  const graph = new Graph();
  const size = 14 * VIEW_ALIGNMENT;
  const arena = graph.input('parameters', [size]);
  const velocity = graph.input('velocity', [size]);
  const state = { step: graph.input('step', [4], 'u32'), halted: graph.input('halted', [1], 'u32') };
  const offsets = [0, 9, 10, 11].map((n) => n * VIEW_ALIGNMENT);
  const shapes = [[3, 3, 3, 16], [16], [16], [16, 10]];
  const parameters = shapes.map((shape, i) => graph.view(arena, `parameter${i}`, offsets[i]!, shape));
  const [w, gamma, beta, fc] = parameters as [Tensor, Tensor, Tensor, Tensor];
  const x = graph.input('x', [2, 8, 8, 3]);
  const h = conv2d(x, w, { stride: 1 });
  const logits = matmul(globalAveragePool(batchNormTraining(h, { gamma, beta }, { relu: true }).y), fc);
  // The scalar is half the sum of squares of the logits.
  const found = pack(gradients(logits, logits, parameters), offsets, size);
  sgd(arena, found, velocity, state, { momentum: 0.9, weightDecay: 5e-4 });
  const fill = (program: Program) => {
    const step = new Uint32Array(4);
    step.set([1, 1]);
    new Float32Array(step.buffer)[2] = 0.01;
    program.write(state.step, step);
    program.write(state.halted, Uint32Array.of(0xffffffff));
    program.write(arena, noise(size, 1));
    program.write(velocity, new Float32Array(size));
    program.write(x, noise(2 * 8 * 8 * 3, 2));
  };
  return { graph, arena, logits, found, offsets, fill, outputs: [logits, found] };
}

describe('a compiled training step', () => {
  it('creates nothing in 200 runs, and submits once in each', async () => {
    const { graph, arena, outputs, fill } = trainingStep();
    const program = await Program.compile(engine, graph, outputs);
    fill(program);
    const [before] = await program.read(arena, ...outputs);
    const counters = { ...engine.counters };
    for (let i = 0; i < 200; i++) program.run();
    await engine.finish();
    expect(engine.counters).toEqual({ ...counters, submits: counters.submits + 200 });
    const [after] = await program.read(arena, ...outputs);
    expect(engine.counters).toEqual({ ...counters, submits: counters.submits + 201 });
    expect(after).not.toEqual(before);
    expect(after!.every(Number.isFinite)).toBe(true);
    program.destroy();
  });

  it('may be cut into several submits, to the same bits', async () => {
    const { graph, arena, outputs, fill } = trainingStep();
    const program = await Program.compile(engine, graph, outputs);
    const after = async (most?: number) => {
      fill(program);
      const { submits } = engine.counters;
      program.run(most);
      return { submits: engine.counters.submits - submits, values: await program.read(arena, ...outputs) };
    };
    const whole = await after();
    const cut = await after(2);
    expect(whole.submits).toBe(1);
    expect(cut.submits).toBe(Math.ceil(program.dispatchCount / 2));
    for (const none of [0, -1, 0.5, Number.NaN]) expect(() => program.run(none)).toThrow(UsageError);
    expect(cut.values).toEqual(whole.values);
    program.destroy();
  });

  it('gives its bytes back', async () => {
    const { graph, outputs } = trainingStep();
    const before = engine.counters.bytes;
    const program = await Program.compile(engine, graph, outputs);
    expect(engine.counters.bytes).toBe(before + program.bytes);
    expect(program.bytes).toBeGreaterThanOrEqual(program.peakBytes);
    program.destroy();
    expect(engine.counters.bytes).toBe(before);
  });

  it('ends in the same bits when it is done again', async () => {
    const runs = [0, 1].map(async () => {
      const { graph, arena, outputs, fill } = trainingStep();
      const program = await Program.compile(engine, graph, outputs);
      fill(program);
      for (let i = 0; i < 20; i++) program.run();
      const results = await program.read(arena, ...outputs);
      program.destroy();
      return results;
    });
    const [first, second] = await Promise.all(runs);
    expect(second).toEqual(first);
  });

  it('leaves what lies between packed parts zero', async () => {
    const { graph, found, offsets, outputs, fill } = trainingStep();
    const program = await Program.compile(engine, graph, outputs);
    fill(program);
    program.run();
    const [packed] = await program.read(found);
    const ends = [9 * 48, offsets[1]! + 16, offsets[2]! + 16, offsets[3]! + 160];
    const starts = [...offsets.slice(1), packed!.length];
    for (const [i, end] of ends.entries()) {
      expect(packed!.subarray(end, starts[i]!)).toEqual(new Float32Array(starts[i]! - end));
      expect(packed!.subarray(offsets[i]!, end).some((value) => value !== 0)).toBe(true);
    }
    program.destroy();
  });

  it('can be recorded into a pass of the caller', async () => {
    const { graph, outputs, fill } = trainingStep();
    const program = await Program.compile(engine, graph, outputs);
    fill(program);
    const { submits } = engine.counters;
    const encoder = engine.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    program.encode(pass);
    pass.end();
    engine.device.queue.submit([encoder.finish()]);
    expect(engine.counters.submits).toBe(submits);
    const [logits] = await program.read(outputs[0]!);
    expect(logits!.some((value) => value !== 0)).toBe(true);
    program.destroy();
  });
});

describe('inputs', () => {
  const setup = () => {
    const graph = new Graph();
    const x = graph.input('x', [3, 2]);
    return { graph, x, y: add(x, relu(x)) };
  };

  it('are zero at first, and keep what is written', async () => {
    const { graph, x, y } = setup();
    const program = await Program.compile(engine, graph, [y]);
    expect(program.dispatchCount).toBe(2);
    program.run();
    expect((await program.read(y))[0]).toEqual(new Float32Array(6));
    program.write(x, Float32Array.of(-1, 2, -3, 4, -5, 6));
    program.run();
    program.run();
    const [input, output] = await program.read(x, y);
    expect(input).toEqual(Float32Array.of(-1, 2, -3, 4, -5, 6));
    expect(output).toEqual(Float32Array.of(-1, 4, -3, 8, -5, 12));
    program.destroy();
  });

  it('can be bound to a buffer, which the program reads and does not free', async () => {
    const { graph, x, y } = setup();
    const storage = engine.upload('mine', Float32Array.of(1, 2, 3, 4, 5, 6, 7));
    const program = await Program.compile(engine, graph, [y], new Map([[x, storage]]));
    program.run();
    expect((await program.read(y))[0]).toEqual(Float32Array.of(2, 4, 6, 8, 10, 12));
    expect((await program.read(x))[0]).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    program.destroy();
    const [bytes] = await engine.read([storage]);
    expect(new Float32Array(bytes!)).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6, 7));
    engine.destroyBuffer(storage.buffer);
  });

  it('refuse data of another length', async () => {
    const { graph, x, y } = setup();
    const program = await Program.compile(engine, graph, [y]);
    expect(() => program.write(x, new Float32Array(5))).toThrow(DeviceError);
    expect(() => program.write(x, new Float32Array(5))).toThrow('x is 3x2, but 5 elements were given');
    program.destroy();
  });

  it('refuse a binding that is too small, and leave no buffer behind', async () => {
    const { graph, x, y } = setup();
    const storage = engine.upload('mine', new Float32Array(5));
    const { bytes } = engine.counters;
    await expect(Program.compile(engine, graph, [y], new Map([[x, storage]]))).rejects.toThrow(
      'x of 3x2 needs 24 bytes, but is bound to 20',
    );
    expect(engine.counters.bytes).toBe(bytes);
    engine.destroyBuffer(storage.buffer);
  });

  it('of a tensor that the program does not have are refused', async () => {
    const { graph, y } = setup();
    const program = await Program.compile(engine, graph, [y]);
    const stranger = new Graph().input('stranger', [3]);
    expect(() => program.storage(stranger)).toThrow('stranger is neither an input nor an output of this program');
    program.destroy();
  });
});

it('refuses whatever is asked of it once it is destroyed, and the GPU is asked nothing', async () => {
  const graph = new Graph();
  const x = graph.input('x', [4]);
  const y = relu(x);
  const program = await Program.compile(engine, graph, [y]);
  program.destroy();
  const pass = engine.device.createCommandEncoder();
  const asking = [() => program.run(), () => program.write(x, new Float32Array(4)), () => program.encode(pass)];
  for (const ask of asking) expect(ask).toThrow('this was destroyed, and its GPU memory freed: make it again');
  await expect(program.read(y)).rejects.toThrow(DeviceError);
  await expect(program.profile(1)).rejects.toThrow(DeviceError);
  await engine.finish();
});

it('refuses a tensor that the device cannot bind, naming op, shape and limit', async () => {
  const limit = engine.device.limits.maxStorageBufferBindingSize;
  const graph = new Graph();
  const rows = Math.floor(limit / 4 / 1024) + 1;
  const y = matmul(graph.input('a', [rows, 1]), graph.input('b', [1, 1024]));
  const { bytes } = engine.counters;
  const compiled = Program.compile(engine, graph, [y]);
  await expect(compiled).rejects.toThrow(DeviceError);
  await expect(compiled).rejects.toThrow(
    `${y.name} (${rows}x1024) needs ${rows * 4096} bytes in one buffer, but this device binds at most ${limit} (maxStorageBufferBindingSize)`,
  );
  expect(y.name).toContain('matmul');
  expect(engine.counters.bytes).toBe(bytes);
});

it('leaves the engine without an error', () => engine.check());
