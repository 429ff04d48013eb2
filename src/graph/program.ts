import { DeviceError, FeatureError, UsageError } from '../errors.js';
import { requireInside } from '../gpu/bindings.js';
import { Buffers } from '../gpu/buffers.js';
import { type Engine, type PreparedDispatch, record, type Storage } from '../gpu/engine.js';
import type { Dispatch } from '../kernels/dispatch.js';
import { type Tile, tile } from '../kernels/tiles.js';
import { bytesOf, type Graph, type LoweringOptions, showShape, sizeOf, type Tensor } from './graph.js';
import { kernelsOf, type Plan, plan, resolveView } from './plan.js';

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
  private readonly owned: Buffers;
  /** Bytes of GPU memory of its own: computed tensors and inputs that were not bound. */
  readonly bytes: number;
  /** The most bytes of computed tensors alive at once: the least any plan could do with. */
  readonly peakBytes: number;
  private destroyed = false;

  private constructor(
    engine: Engine,
    dispatches: readonly PreparedDispatch[],
    storages: ReadonlyMap<Tensor, Storage>,
    owned: Buffers,
    peakBytes: number,
  ) {
    this.engine = engine;
    this.dispatches = dispatches;
    this.storages = storages;
    this.owned = owned;
    this.bytes = owned.bytes;
    this.peakBytes = peakBytes;
  }

  /**
   * Compile a graph.
   * @param outputs tensors that are to be read after a run; nodes that only others need are left out, but for effects
   * @param bindings ranges of buffers, the engine's or the host's own, for inputs and outputs: the program reads, writes and never
   * frees them. Every other input and output gets a zeroed buffer of the program's own. Within one kernel, no buffer may be both
   * read and written, whatever the ranges. A bound {@link pack} keeps what lies between its parts.
   * @throws LimitError where a tensor exceeds the device's limits; DeviceError where a bound buffer is too small, or was made
   * without the usage that it needs (STORAGE; UNIFORM too for the filters of small convolutions, `affine` of `conv2dActivated` and
   * `step`), or begins off its alignment
   * @param options.float16 store activations and their gradients as float16. Sums stay float32, and so do products but on matrix
   * units ({@link Engine.matrices}), which round filters to float16. ShapeError where an op cannot, or an output would be float16;
   * FeatureError without `shader-f16`
   */
  static async compile(
    engine: Engine,
    graph: Graph,
    outputs: readonly Tensor[],
    bindings: ReadonlyMap<Tensor, Storage> = new Map(),
    { float16 = false }: { readonly float16?: boolean | undefined } = {},
  ): Promise<Program> {
    if (float16) requireFloat16(engine);
    const options = {
      float16,
      softwareCompiler: engine.adapter.software,
      ...engine.traits,
      matrices: engine.matrices,
    };
    const tiled = await tiling(engine, kernelsOf(graph, outputs, options), options);
    const { dispatches, slots, places, peakBytes } = plan(graph, outputs, {
      ...options,
      tiled,
      shared: sharedBuffers(bindings),
    });
    for (const [tensor, bound] of bindings) requireBindable(tensor, bound, { graph, outputs, slots, places });
    const owned = new Buffers(engine);
    const largest = new Map<number, Tensor>();
    for (const [tensor, { slot }] of places) {
      const rival = largest.get(slot);
      if (!rival || bytesOf(rival, options) < bytesOf(tensor, options)) largest.set(slot, tensor);
    }
    const storages = new Map<Tensor, Storage>();
    try {
      const bound = new Map([...bindings].map(([tensor, storage]) => [places.get(tensor)?.slot, storage]));
      const starts = slots.map((size, slot) => {
        const { name, shape } = largest.get(slot)!;
        return bound.get(slot) ?? { buffer: owned.create(`${name} (${showShape(shape)})`, size), offset: 0 };
      });
      for (const [tensor, { slot, offset }] of places) {
        const start = starts[slot]!;
        storages.set(tensor, { buffer: start.buffer, offset: start.offset + offset, size: bytesOf(tensor, options) });
      }
      for (const input of graph.inputs) {
        const size = sizeOf(input.shape) * 4;
        const bound = bindings.get(input);
        storages.set(input, bound ? { ...bound, size } : { buffer: owned.create(input.name, size), offset: 0, size });
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
      await engine.compileAhead(dispatches, prepared);
      await engine.settle();
      return new Program(engine, prepared, storages, owned, peakBytes);
    } catch (error) {
      owned.destroy();
      throw error;
    }
  }

  /** Kernels a run dispatches. */
  get dispatchCount(): number {
    return this.dispatches.length;
  }

  /**
   * Record one run into the caller's own compute pass, or as a pass of its own into the caller's command encoder; the caller submits
   * it. In a pass, pipeline and bind group 0 are others afterwards.
   */
  encode(into: GPUComputePassEncoder | GPUCommandEncoder): void {
    this.requireAlive();
    if ('beginComputePass' in into) recordPass(into, this.dispatches);
    else record(into, this.dispatches);
  }

  /**
   * One run: one pass, one submit. Returns at once; the GPU works on.
   * @param most dispatches a submit: for runs so long that a watchdog would take the GPU for hung; results are the same bits
   * @throws UsageError where that is not 1 or more
   */
  run(most = Number.POSITIVE_INFINITY): void {
    if (!(most >= 1)) throw new UsageError(`a submit takes 1 dispatch or more, not ${most}`);
    this.requireAlive();
    this.engine.check();
    const step = Math.min(Math.floor(most), this.dispatches.length);
    for (let start = 0; start < this.dispatches.length; start += step) {
      const encoder = this.engine.device.createCommandEncoder();
      recordPass(encoder, this.dispatches.slice(start, start + step));
      this.engine.submit(encoder);
    }
  }

  /**
   * Where the time of a run goes: it is made `runs` times over, kernel by kernel.
   * @returns each dispatch in order, with the mean of its milliseconds
   * @throws DeviceError where the device has no `timestamp-query`
   */
  async profile(runs: number): Promise<KernelTime[]> {
    this.requireAlive();
    const sums = this.dispatches.map(() => 0);
    for (let run = 0; run < runs; run++) {
      (await this.engine.time(this.dispatches)).forEach((ms, i) => {
        sums[i]! += ms;
      });
    }
    return this.dispatches.map(({ shader, workgroups }, i) => ({ shader, workgroups, ms: sums[i]! / runs }));
  }

  /**
   * Where an input or output lies.
   * @throws DeviceError where the tensor is neither, or the program was destroyed
   */
  storage(tensor: Tensor): Storage {
    this.requireAlive();
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

  /** Free the program's own buffers. It cannot be used any more: what it is asked then is refused. */
  destroy(): void {
    this.destroyed = true;
    this.owned.destroy();
  }

  /** A device that is given freed buffers refuses that late, and to whoever asks it next. */
  private requireAlive(): void {
    if (this.destroyed) throw new DeviceError('this was destroyed, and its GPU memory freed: make it again');
  }
}

function recordPass(encoder: GPUCommandEncoder, dispatches: readonly PreparedDispatch[]): void {
  const pass = encoder.beginComputePass();
  record(pass, dispatches);
  pass.end();
}

/** @throws FeatureError where a device cannot store float16 */
export function requireFloat16({ device }: Engine): void {
  if (device.features.has('shader-f16')) return;
  throw new FeatureError(
    'float16 needs the feature shader-f16, which this device was made without: use float32',
    'shader-f16',
  );
}

/** Tensors by the buffer that they are ranges of: the first that is bound to it stands for it. */
function sharedBuffers(bindings: ReadonlyMap<Tensor, Storage>): Map<Tensor, { base: Tensor; offset: number }> {
  const first = new Map<GPUBuffer, Tensor>();
  return new Map(
    Array.from(bindings, ([tensor, { buffer, offset }]) => {
      const base = first.get(buffer) ?? tensor;
      first.set(buffer, base);
      return [tensor, { base, offset: offset / 4 }];
    }),
  );
}

/** What the engine's tuner, if it has one, chooses for each of these kernels. */
async function tiling(
  engine: Engine,
  kernels: readonly Dispatch<Tensor>[],
  options: LoweringOptions,
): Promise<((kernel: Dispatch<Tensor>) => Dispatch<Tensor>) | undefined> {
  const { tuner } = engine;
  if (!tuner) return undefined;
  const bytes = (tensor: Tensor) => bytesOf(tensor, options);
  const sized = (kernel: Dispatch<Tensor>) => ({ ...kernel, bindings: kernel.bindings.map(bytes) });
  const chosen = new Map<string, Tile>();
  // One after the other, so that each has the device to itself.
  for (const kernel of kernels) {
    const choice = await tuner.tileOf(engine, sized(kernel));
    if (choice) chosen.set(JSON.stringify(sized(kernel)), choice);
  }
  return (kernel) => {
    const choice = chosen.get(JSON.stringify(sized(kernel)));
    return choice ? tile(kernel, choice) : kernel;
  };
}

/** @throws DeviceError where a tensor cannot be bound to this range. */
function requireBindable(
  tensor: Tensor,
  bound: Storage,
  { graph, outputs, slots, places }: Pick<Plan, 'slots' | 'places'> & { graph: Graph; outputs: readonly Tensor[] },
): void {
  const { name, shape } = tensor;
  const need = sizeOf(shape) * 4;
  if (bound.size < need) {
    throw new DeviceError(`${name} of ${showShape(shape)} needs ${need} bytes, but is bound to ${bound.size}`);
  }
  requireInside(bound, name);
  if (graph.inputs.includes(tensor)) return;
  const place = places.get(tensor);
  if (!outputs.includes(tensor) || !place) {
    throw new DeviceError(`${name} cannot be bound to a buffer: it is neither an input nor among the outputs`);
  }
  if (slots[place.slot] !== need) {
    throw new DeviceError(`${name} cannot be bound to a buffer of its own: it is a part of a larger tensor`);
  }
}
