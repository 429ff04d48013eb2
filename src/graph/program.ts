import { DeviceError } from '../errors.js';
import { type Engine, type PreparedDispatch, record, type Storage } from '../gpu/engine.js';
import { type Graph, showShape, sizeOf, type Tensor } from './graph.js';
import { plan, resolveView } from './plan.js';

/** A kernel of a run, and the milliseconds it takes. */
export interface KernelTime {
  readonly shader: string;
  readonly workgroups: readonly [number, number, number];
  readonly ms: number;
}

/** A compiled graph: buffers, pipelines and bind groups are there, and a run records and submits them, no more. */
export class Program {
  private readonly engine: Engine;
  private readonly dispatches: readonly PreparedDispatch[];
  private readonly storages: ReadonlyMap<Tensor, Storage>;
  private readonly owned: readonly GPUBuffer[];
  /** Bytes of GPU memory of its own: computed tensors and inputs that were not bound. */
  readonly bytes: number;
  /** The most bytes of computed tensors alive at once: the least any plan could do with. */
  readonly peakBytes: number;

  private constructor(
    engine: Engine,
    dispatches: readonly PreparedDispatch[],
    storages: ReadonlyMap<Tensor, Storage>,
    owned: readonly GPUBuffer[],
    peakBytes: number,
  ) {
    this.engine = engine;
    this.dispatches = dispatches;
    this.storages = storages;
    this.owned = owned;
    this.bytes = owned.reduce((sum, buffer) => sum + buffer.size, 0);
    this.peakBytes = peakBytes;
  }

  /**
   * Compile a graph.
   * @param outputs tensors that are to be read after a run; nodes that only others need are left out, but for effects
   * @param bindings buffers for inputs; an input without one gets a zeroed buffer of the program's own
   * @throws DeviceError where a tensor exceeds the device's limits
   */
  static async compile(
    engine: Engine,
    graph: Graph,
    outputs: readonly Tensor[],
    bindings: ReadonlyMap<Tensor, Storage> = new Map(),
  ): Promise<Program> {
    const { dispatches, slots, places, peakBytes } = plan(graph, outputs);
    const owned: GPUBuffer[] = [];
    const create = (label: string, size: number) => {
      const buffer = engine.createBuffer(label, size);
      owned.push(buffer);
      return buffer;
    };

    const largest = new Map<number, Tensor>();
    for (const [tensor, { slot }] of places) {
      const rival = largest.get(slot);
      if (!rival || sizeOf(rival.shape) < sizeOf(tensor.shape)) largest.set(slot, tensor);
    }
    const storages = new Map<Tensor, Storage>();
    try {
      const buffers = slots.map((size, slot) => {
        const { name, shape } = largest.get(slot)!;
        return create(`${name} (${showShape(shape)})`, size);
      });
      for (const [tensor, { slot, offset }] of places) {
        storages.set(tensor, { buffer: buffers[slot]!, offset, size: sizeOf(tensor.shape) * 4 });
      }
      for (const input of graph.inputs) {
        const size = sizeOf(input.shape) * 4;
        const bound = bindings.get(input);
        if (bound && bound.size < size) {
          throw new DeviceError(
            `${input.name} of ${showShape(input.shape)} needs ${size} bytes, but is bound to ${bound.size}`,
          );
        }
        storages.set(input, bound ?? { buffer: create(input.name, size), offset: 0, size });
      }
      const storageOf = (tensor: Tensor): Storage => {
        const known = storages.get(tensor);
        if (known) return known;
        const { base, offset } = resolveView(tensor);
        const { buffer, offset: start } = storages.get(base)!;
        const storage = { buffer, offset: start + offset * 4, size: sizeOf(tensor.shape) * 4 };
        storages.set(tensor, storage);
        return storage;
      };
      const prepared = await Promise.all(
        dispatches.map((dispatch) => engine.prepare({ ...dispatch, bindings: dispatch.bindings.map(storageOf) })),
      );
      return new Program(engine, prepared, storages, owned, peakBytes);
    } catch (error) {
      for (const buffer of owned) engine.destroyBuffer(buffer);
      throw error;
    }
  }

  /** Kernels a run dispatches. */
  get dispatchCount(): number {
    return this.dispatches.length;
  }

  /** Record one run into a pass of the caller's, who submits it. */
  encode(pass: GPUComputePassEncoder): void {
    record(pass, this.dispatches);
  }

  /** One run: one pass, one submit. Returns at once; the GPU works on. */
  run(): void {
    this.engine.check();
    const encoder = this.engine.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.encode(pass);
    pass.end();
    this.engine.submit(encoder);
  }

  /**
   * Where the time of a run goes: it is made `runs` times over, kernel by kernel.
   * @returns each dispatch in order, with the mean of its milliseconds
   * @throws DeviceError where the device has no `timestamp-query`
   */
  async profile(runs: number): Promise<KernelTime[]> {
    const sums = this.dispatches.map(() => 0);
    for (let run = 0; run < runs; run++) {
      (await this.engine.time(this.dispatches)).forEach((ms, i) => {
        sums[i]! += ms;
      });
    }
    return this.dispatches.map(({ shader, workgroups }, i) => ({ shader, workgroups, ms: sums[i]! / runs }));
  }

  /** Where an input or output lies. */
  storage(tensor: Tensor): Storage {
    const storage = this.storages.get(tensor);
    if (!storage) throw new DeviceError(`${tensor.name} is neither an input nor an output of this program`);
    return storage;
  }

  /** Fill an input. */
  write(tensor: Tensor, data: Float32Array | Uint32Array): void {
    if (data.length !== sizeOf(tensor.shape)) {
      throw new DeviceError(`${tensor.name} is ${showShape(tensor.shape)}, but ${data.length} elements were given`);
    }
    this.engine.write(this.storage(tensor), data);
  }

  /** The values of float32 outputs (or inputs), after all runs so far. */
  async read(...tensors: readonly Tensor[]): Promise<Float32Array[]> {
    const buffers = await this.engine.read(tensors.map((tensor) => this.storage(tensor)));
    return buffers.map((buffer) => new Float32Array(buffer));
  }

  /** Free the program's own buffers. */
  destroy(): void {
    for (const buffer of this.owned) this.engine.destroyBuffer(buffer);
  }
}
