import { type Dispatch, specialise } from '../kernels/dispatch.js';
import type { Engine, PreparedDispatch, Storage } from './engine.js';

/** A kernel of a program, and what became of it on the program's device. */
interface Kernel {
  readonly dispatch: Dispatch<Storage>;
  readonly prepared: PreparedDispatch;
}

/** A large kernel of which compiling takes less than these milliseconds was in the driver's cache: so are the others. */
const CACHED_MS = 100;
/** So few are compiled as fast by one. */
const LEAST_KERNELS = 4;
/** No binding has to be larger: uniform arrays, whose size is fixed, end there. */
const SCRATCH_BYTES = 65_536;
const INDIRECT = 0x100;

/** Pipelines that were here before. */
const known = new WeakSet<GPUComputePipeline>();

/**
 * Have lavapipe compile kernels, of which each takes it up to a second or more. It does so when one is first dispatched, on a thread
 * that a device has one of. So a second device, which is there for that while, takes turns with the program's own, and what it has
 * compiled that finds in Mesa's cache on disk. Where there is none, the first run compiles it, as it would have compiled all.
 * @param beside opens that device
 */
export async function compileAhead(
  engine: Engine,
  kernels: readonly Kernel[],
  beside: () => Promise<Engine>,
): Promise<void> {
  const distinct = new Map(kernels.map((kernel) => [kernel.prepared.pipeline, kernel]));
  const fresh = [...distinct.values()].filter(({ prepared }) => !known.has(prepared.pipeline));
  if (fresh.length < LEAST_KERNELS) return;
  for (const { prepared } of fresh) known.add(prepared.pipeline);
  // About as long as its text is a kernel takes to compile.
  const lengths = new Map(fresh.map((kernel) => [kernel, specialise(kernel.dispatch).length]));
  const [largest, ...rest] = fresh.sort((a, b) => lengths.get(b)! - lengths.get(a)!);
  const begin = performance.now();
  await compile(engine, largest!.prepared);
  if (performance.now() - begin < CACHED_MS) return;
  await Promise.all([
    (async () => {
      for (let next = rest.shift(); next; next = rest.shift()) await compile(engine, next.prepared);
    })(),
    // The program does not need it to succeed.
    compileBeside(rest, beside).catch(() => undefined),
  ]);
}

async function compileBeside(kernels: Kernel[], beside: () => Promise<Engine>): Promise<void> {
  const engine = await beside();
  try {
    const places: Storage[] = [];
    for (let next = kernels.shift(); next; next = kernels.shift()) {
      const { bindings } = next.dispatch;
      while (places.length < bindings.length) {
        places.push({ buffer: engine.createBuffer('scratch', SCRATCH_BYTES), offset: 0, size: SCRATCH_BYTES });
      }
      await compile(engine, await engine.prepare({ ...next.dispatch, bindings: bindings.map((_, i) => places[i]!) }));
    }
  } finally {
    engine.destroy();
  }
}

/** Dispatch a kernel with no workgroups. */
async function compile(engine: Engine, { pipeline, bindGroup }: PreparedDispatch): Promise<void> {
  // Of a direct dispatch of none, Dawn warns.
  const none = engine.device.createBuffer({ label: 'no workgroups', size: 12, usage: INDIRECT });
  const encoder = engine.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroupsIndirect(none, 0);
  pass.end();
  engine.submit(encoder);
  await engine.submitted();
  none.destroy();
}
