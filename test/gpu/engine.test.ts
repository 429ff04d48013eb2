import { afterAll, describe, expect, it } from 'vitest';
import { create } from 'webgpu';
import { DeviceError } from '../../src/errors.js';
import { Engine, isSoftware } from '../../src/gpu/engine.js';
import { Graph } from '../../src/graph/graph.js';
import { relu } from '../../src/graph/ops/elementwise.js';
import { Program } from '../../src/graph/program.js';
import { engine } from '../support/gpu.js';

// Kept as long as the file's tests: Dawn frees a device with the last reference to what it hangs on.
const gpu = create([]);
const adapter = (await gpu.requestAdapter())!;
const lent: { adapter: GPUAdapter; device: GPUDevice }[] = [];
/** A device with default limits. An adapter gives only one. */
const lend = async () => {
  const adapter = (await gpu.requestAdapter())!;
  const device = await adapter.requestDevice();
  lent.push({ adapter, device });
  return device;
};
afterAll(() => {
  for (const { device } of lent) device.destroy();
});

/** ReLU of [-1, 2] on an engine. */
async function compute(on: Engine): Promise<Float32Array> {
  const graph = new Graph();
  const x = graph.input('x', [2]);
  const y = relu(x);
  const program = await Program.compile(on, graph, [y]);
  program.write(x, Float32Array.of(-1, 2));
  program.run();
  const [result] = await program.read(y);
  program.destroy();
  return result!;
}

describe('an engine on a device of its own', () => {
  it('refuses where there is no WebGPU', async () => {
    await expect(Engine.open(undefined)).rejects.toThrow(DeviceError);
    await expect(Engine.open(undefined)).rejects.toThrow('there is no WebGPU here');
  });

  it('refuses where there is no adapter', async () => {
    const none = { requestAdapter: async () => null } as unknown as GPU;
    await expect(Engine.open(none)).rejects.toThrow(DeviceError);
    await expect(Engine.open(none)).rejects.toThrow('WebGPU found no adapter');
  });

  it('asks for the adapter’s buffer limits', () => {
    const { limits } = engine.device;
    expect(limits.maxStorageBufferBindingSize).toBe(adapter.limits.maxStorageBufferBindingSize);
    expect(limits.maxBufferSize).toBe(adapter.limits.maxBufferSize);
  });

  it('destroys it, and refuses to work on', async () => {
    const own = await Engine.open(gpu);
    expect(await compute(own)).toEqual(Float32Array.of(0, 2));
    own.destroy();
    await own.device.lost;
    await expect(compute(own)).rejects.toThrow(DeviceError);
    await expect(compute(own)).rejects.toThrow('the GPU device was lost');
  });
});

describe('an engine on a lent device', () => {
  it('leaves it alive', async () => {
    const device = await lend();
    const first = await Engine.from(device);
    expect(await compute(first)).toEqual(Float32Array.of(0, 2));
    first.destroy();
    const second = await Engine.from(device);
    expect(await compute(second)).toEqual(Float32Array.of(0, 2));
  });

  it('shares it with another engine, each counting what is its own', async () => {
    const device = await lend();
    const [one, other] = [await Engine.from(device), await Engine.from(device)];
    await compute(one);
    expect(other.counters).toEqual({ buffers: 0, bytes: 0, pipelines: 0, bindGroups: 0, submits: 0 });
    one.destroy();
    expect(one.counters.bytes).toBe(0);
    expect(await compute(other)).toEqual(Float32Array.of(0, 2));
  });

  it('refuses a device that is lost already', async () => {
    const device = await lend();
    device.destroy();
    await device.lost;
    await expect(Engine.from(device)).rejects.toThrow('the GPU device was lost');
  });

  it('says so when the device is lost while it works', async () => {
    const device = await lend();
    const on = await Engine.from(device);
    await compute(on);
    device.destroy();
    await device.lost;
    await expect(compute(on)).rejects.toThrow(DeviceError);
    await expect(on.finish()).rejects.toThrow('the GPU device was lost');
  });
});

describe('buffers', () => {
  it('are zeroed, and padded to whole words', async () => {
    const storage = engine.upload('odd', Uint8Array.of(1, 2, 3, 4, 5));
    expect(storage.size).toBe(8);
    const empty = engine.createBuffer('empty', 12);
    const [bytes, zeros] = await engine.read([storage, { buffer: empty, offset: 0, size: 12 }]);
    expect(new Uint8Array(bytes!)).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 0, 0, 0));
    expect(new Uint8Array(zeros!)).toEqual(new Uint8Array(12));
    engine.destroyBuffer(storage.buffer);
    engine.destroyBuffer(empty);
  });

  it('are read in order, though asked for at once', async () => {
    const storages = [1, 2, 3].map((n) => engine.upload(`buffer${n}`, new Float32Array(n * 10).fill(n)));
    const results = await Promise.all(storages.map((storage) => engine.read([storage])));
    for (const [i, [bytes]] of results.entries()) {
      expect(new Float32Array(bytes!)).toEqual(new Float32Array((i + 1) * 10).fill(i + 1));
    }
    for (const { buffer } of storages) engine.destroyBuffer(buffer);
  });

  it('refuse more than they hold', () => {
    const storage = engine.upload('small', new Float32Array(2));
    expect(() => engine.write(storage, new Float32Array(3))).toThrow('cannot write 12 bytes into small, which has 8');
    engine.destroyBuffer(storage.buffer);
  });

  it('refuse a size that the device cannot bind', () => {
    const size = engine.device.limits.maxStorageBufferBindingSize + 4;
    expect(() => engine.createBuffer('huge', size)).toThrow(DeviceError);
    expect(() => engine.createBuffer('huge', size)).toThrow(`huge needs ${size} bytes in one buffer`);
  });
});

it('a command that the GPU refuses is an error of the next call, not silence', async () => {
  const on = await Engine.from(await lend());
  const { buffer } = on.upload('words', new Float32Array(2));
  // Past the buffer's end.
  await expect(on.read([{ buffer, offset: 0, size: 12 }])).rejects.toThrow(DeviceError);
  expect(() => on.check()).toThrow('the GPU refused a command');
});

it('a pipeline is made once for the same shader and constants', async () => {
  const before = engine.counters.pipelines;
  const first = await engine.pipeline({ shader: 'add', constants: { SIZE: 12345 } });
  expect(await engine.pipeline({ shader: 'add', constants: { SIZE: 12345 } })).toBe(first);
  expect(engine.counters.pipelines).toBe(before + 1);
});

it('tells which adapter it runs on', () => {
  const { vendor, description, software } = engine.adapter;
  expect(`${vendor}${description}`).not.toBe('');
  expect(typeof software).toBe('boolean');
});

it.each([
  ['lavapipe before isFallbackAdapter', { description: 'llvmpipe (LLVM 15.0.6)' }, true],
  ['SwiftShader in Chromium', { vendor: 'google', architecture: 'swiftshader', isFallbackAdapter: true }, true],
  ['software in Firefox', { isFallbackAdapter: true }, true],
  ['a GPU in Firefox', { isFallbackAdapter: false }, false],
  ['a GPU in Chromium', { vendor: 'nvidia', architecture: 'hopper', isFallbackAdapter: false }, false],
])('knows software from a GPU: %s', (_, told, software) => {
  const info = { vendor: '', architecture: '', device: '', description: '', ...told } as GPUAdapterInfo;
  expect(isSoftware(info)).toBe(software);
});
