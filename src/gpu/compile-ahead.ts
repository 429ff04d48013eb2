import { type Dispatch, specialise } from '../kernels/dispatch.js';
import { USAGE } from './bindings.js';
import type { Engine } from './engine.js';

/** A large kernel that takes less than these milliseconds was in the driver's cache, so the others are there, too. */
const CACHED_MS = 100;
/** Of fewer kernels a second device does not pay. */
const LEAST_KERNELS = 4;
/** No binding has to be larger: uniform arrays, whose size is fixed, end there. */
const SCRATCH_BYTES = 65_536;

/**
 * Have lavapipe compile kernels. It does so when one is first dispatched, which takes up to a second or more, on one thread a
 * device. So a helper, a second device, compiles a part of them at the same time, and the engine's device then loads these from
 * Mesa's cache on disk. Without that cache the first run compiles them once more.
 * @param openHelper opens an engine on a second device
 */
export async function compileAhead(
  engine: Engine,
  kernels: readonly Dispatch<unknown>[],
  openHelper: () => Promise<Engine>,
): Promise<void> {
  // The time to compile grows with the length of the source.
  const lengths = new Map(kernels.map((kernel) => [kernel, specialise(kernel).length]));
  const rest = kernels.toSorted((a, b) => lengths.get(b)! - lengths.get(a)!);
  const largest = rest.shift();
  if (rest.length < LEAST_KERNELS - 1) return;
  await engine.submitted();
  const begin = performance.now();
  await compile(engine, [largest!]);
  if (performance.now() - begin < CACHED_MS) return;
  const help = async () => {
    const helper = await openHelper();
    await compile(helper, rest).finally(() => helper.destroy());
  };
  // The engine's device compiles what the helper does not.
  await Promise.all([compile(engine, rest), help().catch(() => undefined)]);
}

/** Dispatch kernels with no workgroups, one after the other, until the list, which others may share, is empty. */
async function compile(engine: Engine, kernels: Dispatch<unknown>[]): Promise<void> {
  const { device } = engine;
  // Not the program's own: its host may have mapped them for now.
  const scratch: GPUBuffer[] = [];
  const create = (size: number, usage: number) => {
    const buffer = device.createBuffer({ label: 'scratch', size, usage });
    scratch.push(buffer);
    return buffer;
  };
  // Dawn warns of dispatchWorkgroups(0).
  const none = create(12, USAGE.INDIRECT);
  try {
    for (let kernel = kernels.shift(); kernel; kernel = kernels.shift()) {
      const pipeline = await engine.pipeline(kernel);
      while (scratch.length <= kernel.bindings.length) create(SCRATCH_BYTES, USAGE.STORAGE | USAGE.UNIFORM);
      const entries = kernel.bindings.map((_, binding) => ({ binding, resource: { buffer: scratch[binding + 1]! } }));
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
      pass.dispatchWorkgroupsIndirect(none, 0);
      pass.end();
      engine.submit(encoder);
      await engine.submitted();
    }
  } finally {
    // Whoever shares the list ends, too.
    kernels.length = 0;
    for (const buffer of scratch) buffer.destroy();
  }
}
