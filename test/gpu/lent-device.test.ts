/** On a device that somebody else owns. */
import { describe, expect, it, vi } from 'vitest';
import { DeviceError, FeatureError, LimitError } from '../../src/errors.js';
import { Engine } from '../../src/gpu/engine.js';
import { energyHinge } from '../../src/graph/energy-hinge.js';
import { Graph } from '../../src/graph/graph.js';
import { conv2d } from '../../src/graph/ops/conv2d.js';
import { add, relu } from '../../src/graph/ops/elementwise.js';
import { matmul } from '../../src/graph/ops/matmul.js';
import { pack } from '../../src/graph/ops/optimiser.js';
import { Program } from '../../src/graph/program.js';
import { Trainer } from '../../src/nn/trainer.js';
import * as reference from '../reference/losses.js';
import { COPY_DST, COPY_SRC, hostBuffer, openHost, readHost, renderer, STORAGE } from '../support/host.js';
import { expectClose, f64, noise } from '../support/numbers.js';
import { data, reference as golden, OPTIONS } from '../support/training.js';

vi.setConfig({ testTimeout: 120_000 });

/** y = relu(x) of two elements. */
function reluGraph() {
  const graph = new Graph();
  const x = graph.input('x', [2]);
  return { graph, x, y: relu(x) };
}

/** What both drivers refuse: a copy past a buffer's end. */
function misbehave(device: GPUDevice): void {
  const buffer = device.createBuffer({ size: 4, usage: COPY_SRC | COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, buffer, 4, 400);
  device.queue.submit([encoder.finish()]);
}

/** An engine's call that the GPU refuses. */
async function misbehaveIn(engine: Engine): Promise<void> {
  const { buffer } = engine.upload('words', new Float32Array(2));
  await expect(engine.read([{ buffer, offset: 0, size: 4000 }])).rejects.toThrow('the GPU refused a command');
}

describe('an engine on a lent device', () => {
  it('asks for no other, destroys and changes nothing, and sets no global', async () => {
    const host = await openHost();
    const { adapter, device } = host;
    const spies = [
      vi.spyOn(adapter, 'requestDevice'),
      vi.spyOn(device, 'destroy'),
      vi.spyOn(device, 'addEventListener'),
      vi.spyOn(device, 'removeEventListener'),
    ];
    const before = { globals: Reflect.ownKeys(globalThis), label: device.label, handler: device.onuncapturederror };
    const engine = await Engine.from(device);
    const { graph, x, y } = reluGraph();
    const program = await Program.compile(engine, graph, [y]);
    program.write(x, Float32Array.of(-1, 2));
    program.run();
    expect((await program.read(y))[0]).toEqual(Float32Array.of(0, 2));
    program.destroy();
    engine.destroy();
    for (const spy of spies) expect(spy).not.toHaveBeenCalled();
    expect({ globals: Reflect.ownKeys(globalThis), label: device.label, handler: device.onuncapturederror }).toEqual(
      before,
    );
  });

  it('does not hear of what the host gets wrong', async () => {
    const { device } = await openHost();
    const heard = vi.fn();
    device.addEventListener('uncapturederror', heard);
    const engine = await Engine.from(device);
    misbehave(device);
    await engine.finish();
    await vi.waitFor(() => expect(heard).toHaveBeenCalled());
    engine.check();
    engine.upload('more', new Float32Array(2));
    await engine.finish();
  });

  it('keeps what it gets wrong itself from the host’s handler and scopes', async () => {
    const { device } = await openHost();
    const heard = vi.fn();
    device.addEventListener('uncapturederror', heard);
    const engine = await Engine.from(device);
    device.pushErrorScope('validation');
    await misbehaveIn(engine);
    expect(await device.popErrorScope()).toBeNull();
    // The host's scope is still the host's.
    device.pushErrorScope('validation');
    const other = await Engine.from(device);
    other.upload('fine', new Float32Array(2));
    misbehave(device);
    other.upload('fine too', new Float32Array(2));
    expect(await device.popErrorScope()).not.toBeNull();
    await device.queue.onSubmittedWorkDone();
    expect(heard).not.toHaveBeenCalled();
    other.check();
  });

  it('keeps it from another engine, too', async () => {
    const { device } = await openHost();
    const [one, other] = [await Engine.from(device), await Engine.from(device)];
    await misbehaveIn(one);
    await other.finish();
    expect(() => one.check()).toThrow(DeviceError);
  });

  it('names the limit that is too low, what it is, and what is needed', async () => {
    const { device } = await openHost();
    const engine = await Engine.from(device);
    const have = device.limits.maxStorageBufferBindingSize;
    const graph = new Graph();
    const rows = have / 4096 + 1;
    const y = matmul(graph.input('a', [rows, 1]), graph.input('b', [1, 1024]));
    const error = await Program.compile(engine, graph, [y]).catch((reason) => reason);
    expect(error).toBeInstanceOf(LimitError);
    expect(error).toMatchObject({ limit: 'maxStorageBufferBindingSize', have, need: rows * 4096 });
    expect(error.message).toContain('matmul');
    const dispatch = { shader: 'relu', constants: { SIZE: 1 }, bindings: [], workgroups: [70_000, 1, 1] } as const;
    await expect(engine.prepare(dispatch)).rejects.toMatchObject({
      limit: 'maxComputeWorkgroupsPerDimension',
      have: 65535,
      need: 70_000,
    });
  });

  it('names the feature that is missing', async () => {
    const engine = await Engine.from((await openHost()).device);
    const error = await engine.time([]).catch((reason) => reason);
    expect(error).toBeInstanceOf(FeatureError);
    expect(error.feature).toBe('timestamp-query');
  });
});

describe('the host’s own buffers', () => {
  const setup = async () => {
    const host = await openHost();
    return { host, engine: await Engine.from(host.device), ...reluGraph() };
  };

  it('are read and written in the host’s own pass, from where they begin, and by nobody freed', async () => {
    const { host, engine, graph, x, y } = await setup();
    const input = hostBuffer(host, 'mine', STORAGE, new Float32Array(80).fill(-3).fill(5, 65, 66));
    const output = hostBuffer(host, 'result', STORAGE | COPY_SRC, new Float32Array(80).fill(7));
    const program = await Program.compile(
      engine,
      graph,
      [y],
      new Map([
        [x, { buffer: input, offset: 256, size: 8 }],
        [y, { buffer: output, offset: 256, size: 8 }],
      ]),
    );
    const encoder = host.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    program.encode(pass);
    pass.end();
    host.device.queue.submit([encoder.finish()]);
    expect(program.bytes).toBe(0);
    program.destroy();
    const result = await readHost(host, output);
    expect([...result.subarray(63, 67)]).toEqual([7, 0, 5, 7]);
  });

  it('are refused where they cannot serve, each for its reason', async () => {
    const { host, engine, graph, x, y } = await setup();
    const good = hostBuffer(host, 'good', STORAGE, new Float32Array(80));
    const bare = host.device.createBuffer({ label: 'bare', size: 8, usage: COPY_SRC });
    const compile = (tensor: typeof x, storage: { buffer: GPUBuffer; offset?: number; size?: number }) =>
      Program.compile(engine, graph, [y], new Map([[tensor, { offset: 0, size: 8, ...storage }]]));
    await expect(compile(x, { buffer: bare })).rejects.toThrow(
      "buffer 'bare' cannot be bound as X of relu: make it with GPUBufferUsage.STORAGE",
    );
    await expect(compile(y, { buffer: bare })).rejects.toThrow('bound as Y of relu');
    await expect(compile(y, { buffer: good, size: 4 })).rejects.toThrow(
      `${y.name} of 2 needs 8 bytes, but is bound to 4`,
    );
    await expect(compile(x, { buffer: good, offset: 8 })).rejects.toThrow(
      "X of relu is bound from byte 8 of buffer 'good' on: begin at a multiple of 256",
    );
    await expect(compile(x, { buffer: good, offset: 256, size: 400 })).rejects.toThrow("but buffer 'good' has 320");
    const both = new Map([x, y].map((tensor, i) => [tensor, { buffer: good, offset: 256 * i, size: 8 }]));
    await expect(Program.compile(engine, graph, [y], both)).rejects.toThrow(
      "relu would read X from buffer 'good', where it writes Y: use two buffers",
    );
    expect(engine.counters.bytes).toBe(0);
    engine.check();
  });

  it('may be outputs, and whole ones, only', async () => {
    const { host, engine, graph, x, y } = await setup();
    const storage = { buffer: hostBuffer(host, 'good', STORAGE, new Float32Array(80)), offset: 0, size: 320 };
    const z = add(y, x);
    await expect(Program.compile(engine, graph, [z], new Map([[y, storage]]))).rejects.toThrow(
      `${y.name} cannot be bound to a buffer: it is neither an input nor among the outputs`,
    );
    const packed = pack([y, z], [0, 64], 128);
    await expect(Program.compile(engine, graph, [y, packed], new Map([[y, storage]]))).rejects.toThrow(
      'part of a larger',
    );
  });

  it('need UNIFORM usage as well where a kernel reads a filter by it', async () => {
    const { host, engine } = await setup();
    const graph = new Graph();
    // Of three channels it is read so on GPUs, too.
    const w = graph.input('w', [3, 3, 3, 4]);
    const y = conv2d(graph.input('x', [1, 4, 4, 3]), w, { stride: 1 });
    const buffer = hostBuffer(host, 'filter', STORAGE, new Float32Array(108));
    await expect(Program.compile(engine, graph, [y], new Map([[w, { buffer, offset: 0, size: 432 }]]))).rejects.toThrow(
      "buffer 'filter' cannot be bound as W0 of conv2d: make it with GPUBufferUsage.UNIFORM",
    );
  });

  it('are written and read by a program only where their usage allows it', async () => {
    const { host, engine, graph, x, y } = await setup();
    const buffer = host.device.createBuffer({ label: 'closed', size: 8, usage: STORAGE });
    const program = await Program.compile(engine, graph, [y], new Map([[x, { buffer, offset: 0, size: 8 }]]));
    expect(() => program.write(x, new Float32Array(2))).toThrow(
      "buffer 'closed' cannot be written to: make it with GPUBufferUsage.COPY_DST",
    );
    await expect(program.read(x)).rejects.toThrow(
      "buffer 'closed' cannot be read: make it with GPUBufferUsage.COPY_SRC",
    );
  });
});

describe('energyHinge on a bare device', () => {
  const shape = { inCount: 5, outCount: 7, classes: 10, mIn: -4, mOut: -3.5, lambda: 0.3 };
  const logits = noise(12 * 10, 1).map((value) => 3 * value);
  const labels = Uint32Array.of(0, 9, 3, 3, 7);
  const expected = reference.energyHinge(f64(logits), [...labels], 10, shape);

  it('works on the host’s buffers, in the host’s encoder', async () => {
    const host = await openHost();
    const gradient = hostBuffer(host, 'gradient', STORAGE | COPY_SRC, new Float32Array(120));
    const hinge = await energyHinge(host.device, shape, {
      logits: hostBuffer(host, 'logits', STORAGE, logits),
      labels: hostBuffer(host, 'labels', STORAGE, labels),
      gradient,
    });
    const encoder = host.device.createCommandEncoder();
    hinge.encode(encoder);
    host.device.queue.submit([encoder.finish()]);
    expectClose(await readHost(host, gradient), expected.gradient, 3e-6);
    expectClose(
      (await readHost(host, hinge.buffers.rows.buffer)).filter((_, i) => i % 4 === 2),
      energiesOf(logits),
      3e-6,
    );
    hinge.destroy();
  });

  it('takes arrays, and frees all that it made', async () => {
    const { device } = await openHost();
    const made = vi.spyOn(device, 'createBuffer');
    const hinge = await energyHinge(device, shape);
    const result = await hinge.run(logits, labels);
    expectClose(
      [result.loss, result.crossEntropy, result.regulariser],
      [expected.loss, expected.cross_entropy, expected.regulariser],
      3e-6,
    );
    expectClose(result.gradient, expected.gradient, 3e-6);
    expectClose(result.energies, energiesOf(logits), 3e-6);
    await expect(hinge.run(logits, Uint32Array.of(0, 1, 2, 10, 4))).rejects.toThrow(
      'labels: label 3 is 10, but there are 10 classes',
    );
    await expect(hinge.run(logits.subarray(1), labels)).rejects.toThrow('logits is 12x10, but 119 elements were given');
    const buffers = made.mock.results.map(({ value }) => value as GPUBuffer);
    const freed = buffers.map((buffer) => vi.spyOn(buffer, 'destroy'));
    hinge.destroy();
    // With one that it was read through.
    expect(freed).toHaveLength(5);
    for (const destroy of freed) expect(destroy).toHaveBeenCalled();
    await expect(hinge.run(logits, labels)).rejects.toThrow('this was destroyed, and its GPU memory freed');
  });

  it.each([
    [{ inCount: 0 }, 'the loss is one of in-distribution rows, but there are none: give some'],
    [{ lambda: Number.NaN }, 'lambda is NaN; give a number of 0 or more'],
    [{ mOut: Number.POSITIVE_INFINITY }, 'm_out is Infinity; give a number of nats'],
  ])('refuses %o', async (change, message) => {
    await expect(energyHinge((await openHost()).device, { ...shape, ...change })).rejects.toThrow(message);
  });

  const energiesOf = (values: Float32Array) =>
    Array.from(
      { length: 12 },
      (_, n) => -Math.log(values.subarray(10 * n, 10 * n + 10).reduce((sum, v) => sum + Math.exp(v), 0)),
    );
});

describe('beside a host that renders', () => {
  it('a program runs in the host’s frame, and both come out right', async () => {
    const host = await openHost();
    const { device } = host;
    const { render, pixel } = renderer(host);
    const { graph, x, y } = reluGraph();
    const program = await Program.compile(await Engine.from(device), graph, [y]);
    for (let frame = 1; frame <= 20; frame++) {
      program.write(x, Float32Array.of(frame, -frame));
      const encoder = device.createCommandEncoder();
      if (frame % 2) program.encode(encoder);
      render(encoder);
      if (frame % 2 === 0) program.encode(encoder);
      device.queue.submit([encoder.finish()]);
      expect((await program.read(y))[0]).toEqual(Float32Array.of(frame, 0));
    }
    expect(await pixel()).toEqual([0, 20, 0, 255]);
  });

  it('a network is fine-tuned as PyTorch does it', async () => {
    const host = await openHost();
    const { render, pixel } = renderer(host);
    const engine = await Engine.from(host.device);
    const { steps, batch, outlier_batch, lr, m_in, m_out, log } = golden.meta;
    const options = {
      ...OPTIONS,
      steps,
      batch,
      outlierBatch: outlier_batch,
      learningRate: lr,
      dropout: 0,
      augment: false,
      shuffle: false,
    };
    const regulariser = { kind: 'energy', mIn: m_in, mOut: m_out, lambda: 0.1 } as const;
    const trainer = await Trainer.create(engine, golden.network(), data, { ...options, regulariser });
    const frames = [1, 2].map(() => {
      trainer.submitStep();
      const encoder = host.device.createCommandEncoder();
      const frame = render(encoder);
      host.device.queue.submit([encoder.finish()]);
      return frame;
    });
    const logs = await trainer.readLogs();
    expectClose(
      logs.map(({ loss }) => loss),
      log.slice(0, 2).map(({ loss }) => loss!),
      1e-4,
    );
    expect(await pixel()).toEqual([0, frames.at(-1), 0, 255]);
    trainer.destroy();
    expect(host.device.limits.maxStorageBufferBindingSize).toBe(2 ** 27);
  });
});
