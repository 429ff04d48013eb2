/** What a process has asked of its GPU, seen from outside, so that all engines are counted alike. */
export interface Counts {
  dispatches: number;
  submits: number;
  bind_groups: number;
  buffers: number;
  /** Of buffers alive. */
  gpu_bytes: number;
}

// The methods below are whatever the implementation gives; only their calls are counted.
// biome-ignore lint/suspicious/noExplicitAny: arguments are passed on as they come
type Method = (...args: any[]) => any;

/** Count the calls of WebGPU's methods from now on. The interfaces must be on globalThis. */
export function countCalls(): Counts {
  const counts: Counts = { dispatches: 0, submits: 0, bind_groups: 0, buffers: 0, gpu_bytes: 0 };
  const alive = new WeakSet<GPUBuffer>();
  const wrap = (prototype: object, name: string, after: (self: object, result: object) => void) => {
    const methods = prototype as Record<string, Method>;
    const original = methods[name];
    methods[name] = function (this: object, ...args) {
      const result = original.apply(this, args);
      after(this, result);
      return result;
    };
  };
  wrap(GPUComputePassEncoder.prototype, 'dispatchWorkgroups', () => counts.dispatches++);
  wrap(GPUQueue.prototype, 'submit', () => counts.submits++);
  wrap(GPUDevice.prototype, 'createBindGroup', () => counts.bind_groups++);
  wrap(GPUDevice.prototype, 'createBuffer', (_, buffer) => {
    counts.buffers++;
    counts.gpu_bytes += (buffer as GPUBuffer).size;
    alive.add(buffer as GPUBuffer);
  });
  wrap(GPUBuffer.prototype, 'destroy', (buffer) => {
    if (alive.delete(buffer as GPUBuffer)) counts.gpu_bytes -= (buffer as GPUBuffer).size;
  });
  return counts;
}
