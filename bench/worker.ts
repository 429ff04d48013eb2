import { isSoftware } from '../src/gpu/engine.js';
import { pacing } from '../src/node/polling.js';
import { sample } from './compare.js';
import { type Counts, countCalls } from './counters.js';
import { ENGINES } from './engines/index.js';
import type { Opened, Reply, Request } from './protocol.js';
import type { Peer, Task } from './workloads.js';

/**
 * One engine in a process of its own: `worker.ts ENGINE TOGGLES`, a Dawn device like every other worker's, and a task at a
 * time.
 */
const [engineName, toggles] = process.argv.slice(2);
const { create, globals } = await import('webgpu');
// Kept: Dawn's Node binding frees the instance, and all that hangs on it, with the last JavaScript reference.
const gpu = create(toggles ? [`enable-dawn-features=${toggles}`] : []);
Object.assign(globalThis, globals);
Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: '' }, configurable: true });
const counts = countCalls();

let peer: Peer;
let task: Task | undefined;

async function countedRun(): Promise<Counts> {
  const before = { ...counts };
  await task!.run(1);
  const { dispatches, submits, bind_groups, buffers, gpu_bytes } = counts;
  return {
    dispatches: dispatches - before.dispatches,
    submits: submits - before.submits,
    bind_groups: bind_groups - before.bind_groups,
    buffers: buffers - before.buffers,
    gpu_bytes,
  };
}

async function answer(request: Request): Promise<unknown> {
  switch (request.method) {
    case 'open': {
      peer = await (await ENGINES[engineName]()).open();
      const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
      if (!adapter) throw new Error('there is no WebGPU adapter');
      const { vendor, architecture, device, description } = adapter.info;
      // While Dawn waits it keeps a core busy, which openEngine spares a software adapter. Here all engines are spared it, so that
      // what is compared is what they compute.
      if (isSoftware(adapter.info)) globalThis.setImmediate = pacing(globalThis.setImmediate);
      return {
        version: peer.version,
        apart: peer.apart ?? false,
        arithmetic: peer.arithmetic ?? 'float32',
        adapter: { vendor, architecture, device, description },
      } satisfies Opened;
    }
    case 'settings':
      return peer.tasks[request.work.kind] ? peer.settings(request.work) : [];
    case 'prepare': {
      const make = peer.tasks[request.work.kind] as (parameters: object, setting: string) => Promise<Task>;
      task = await make(request.work.parameters, request.setting);
      return;
    }
    case 'outputs':
      return (await task!.outputs()).map(sample);
    case 'run': {
      const start = performance.now();
      await task!.run(request.times);
      return performance.now() - start;
    }
    case 'count': {
      // A step's log is read now and then: of two runs, one has none of that.
      const [first, second] = [await countedRun(), await countedRun()];
      return first.submits < second.submits ? first : second;
    }
    case 'dispose':
      task?.dispose();
      task = undefined;
  }
}

process.on('message', async (request: Request) => {
  try {
    process.send!({ result: await answer(request) } satisfies Reply);
  } catch (error) {
    process.send!({ error: (error as Error).message.split('\n')[0] } satisfies Reply);
  }
});
// The driver is gone: so is the reason to be here.
process.on('disconnect', () => process.exit());
