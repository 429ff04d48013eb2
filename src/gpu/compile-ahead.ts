import type { Dispatch } from '../kernels/dispatch.js';
import { USAGE } from './bindings.js';
import type { Engine } from './engine.js';

export interface UncompiledKernel {
  readonly kernel: Dispatch<unknown>;
  /** On the program's device. */
  readonly pipeline: GPUComputePipeline;
  /** Of its source, with which the time to compile grows. */
  readonly length: number;
}

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
  kernels: readonly UncompiledKernel[],
  openHelper: () => Promise<Engine>,
): Promise<void> {
  const rest = kernels.toSorted((a, b) => b.length - a.length);
  const largest = rest.shift();
  if (rest.length < LEAST_KERNELS - 1) return;
  await engine.submitted();
  const begin = performance.now();
  const own = ({ pipeline }: UncompiledKernel) => pipeline;
  await compile(engine, [largest!], own);
  if (performance.now() - begin < CACHED_MS) return;
  const help = async () => {
    const helper = await openHelper();
    await compile(helper, rest, ({ kernel }) => helper.pipeline(kernel)).finally(() => helper.destroy());
  };
  // The engine's device compiles what the helper does not.
  await Promise.all([compile(engine, rest, own), help().catch(() => undefined)]);
}

/** Dispatch kernels with no workgroups, one after the other, until the list, which others may share, is empty. */
async function compile(
  engine: Engine,
  kernels: UncompiledKernel[],
  pipelineOf: (kernel: UncompiledKernel) => GPUComputePipeline | Promise<GPUComputePipeline>,
): Promise<void> {
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
    for (let next = kernels.shift(); next; next = kernels.shift()) {
      const pipeline = await pipelineOf(next);
      const { bindings } = next.kernel;
      while (scratch.length <= bindings.length) create(SCRATCH_BYTES, USAGE.STORAGE | USAGE.UNIFORM);
      const entries = bindings.map((_, binding) => ({ binding, resource: { buffer: scratch[binding + 1]! } }));
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
