import { DeviceError, FeatureError, LimitError } from '../errors.js';
import {
  type DeviceTraits,
  type Dispatch,
  type ShaderSpecialisation,
  type SubgroupMatrices,
  specialise,
} from '../kernels/dispatch.js';
import { checkBindings, requireUsage, type Slot, slotsOf, USAGE } from './bindings.js';
import { compileAhead, type UncompiledKernel } from './compile-ahead.js';
import { MATRIX_FEATURES, matricesOf } from './matrices.js';
import type { Tuner } from './tuner.js';

/** What an engine has made on its device so far. A step that is replayed leaves all of these as they were but submits. */
export interface Counters {
  buffers: number;
  /** Bytes of all buffers that are alive. */
  bytes: number;
  pipelines: number;
  bindGroups: number;
  submits: number;
}

/** A range of a GPU buffer, in bytes. */
export interface Storage {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/** Limits the engine asks a device of its own for, as high as the adapter goes. */
const BUFFER_LIMITS = ['maxStorageBufferBindingSize', 'maxBufferSize'] as const;
const ERROR_SCOPES: readonly GPUErrorFilter[] = ['internal', 'out-of-memory', 'validation'];
const OPTIONAL_FEATURES: readonly GPUFeatureName[] = ['timestamp-query', 'shader-f16', 'subgroups'];

/** Whether an adapter computes on the CPU, as it says, or as its name does where a browser does not yet say so. */
export function isSoftware(info: GPUAdapterInfo): boolean {
  return info.isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|software|basic render/i.test(nameOf(info));
}

const nameOf = ({ vendor, architecture, device, description }: GPUAdapterInfo) =>
  [vendor, architecture, device, description].join(' ');

/** Makes calls, and returns what they do. */
export type Awaiting = <T>(calls: () => T) => T;

export interface EngineOptions {
  /** Measures which tiles are fastest on this device, the first time that a kernel is compiled. */
  readonly tuner?: Tuner | undefined;
  /**
   * For a device of the engine's own: ask for all that float16 is faster with. That is matrix units, which are an experiment
   * of Dawn's ({@link Engine.matrices}), and in Node, on NVIDIA's driver, float16 itself (`shader-f16`).
   */
  readonly float16?: boolean | undefined;
}

/**
 * All that energate does on a GPU goes through an engine. There may be any number of them; nothing is global.
 *
 * `Engine.open()` makes one on a device of its own, `Engine.from(device)` on a device that somebody else owns, which it
 * never destroys or reconfigures. Errors on a lent device stay apart: what the engine's own calls get wrong is thrown here
 * and does not reach the host's error scopes or `uncapturederror`, and what the host gets wrong is not heard of here.
 */
export class Engine {
  readonly device: GPUDevice;
  /** Chooses the tiles of kernels; without one they are the same on every device. */
  readonly tuner: Tuner | undefined;
  readonly counters: Counters = { buffers: 0, bytes: 0, pipelines: 0, bindGroups: 0, submits: 0 };
  /** Why the device was lost, once it was. */
  private lost: string | undefined;
  private destroyed = false;
  private failure: DeviceError | undefined;
  private readonly owned: { gpu: GPU; adapter: GPUAdapter } | undefined;
  private readonly options: EngineOptions;
  /** Of pipelines that were not compiled ahead, the lengths of their sources. */
  private readonly fresh = new WeakMap<GPUComputePipeline, number>();
  /** Done when all error scopes so far have told what they caught. */
  private scopes: Promise<unknown> = Promise.resolve();
  private readonly pipelines = new Map<string, { slots: readonly Slot[]; pipeline: Promise<GPUComputePipeline> }>();
  /** Buffers that reads are copied to and mapped from; those that no read is using. */
  private staging: GPUBuffer[] = [];
  /** Makes calls that return promises of what the device is at work on. */
  private readonly awaiting: Awaiting;

  private constructor(
    device: GPUDevice,
    options: EngineOptions,
    owned?: { gpu: GPU; adapter: GPUAdapter },
    awaiting?: Awaiting,
  ) {
    this.device = device;
    this.tuner = options.tuner;
    this.options = options;
    this.awaiting = awaiting && this.adapter.software ? awaiting : (calls) => calls();
    // Kept because Dawn's Node binding frees the instance, and all that hangs on it, with the last JavaScript reference.
    this.owned = owned;
    device.lost.then((info) => {
      this.lost = info.message || info.reason;
    });
    if (owned) device.addEventListener('uncapturederror', ({ error }) => this.fail(error));
  }

  private fail(error: GPUError): void {
    this.failure ??= new DeviceError(`the GPU refused a command: ${error.message.split('\n')[0]}`);
  }

  /**
   * Make WebGPU calls whose errors are to be this engine's: {@link check} throws them once they are known. On a lent device
   * they are caught in scopes around the calls, which may not wait in between.
   */
  guard<T>(calls: () => T): T {
    if (this.owned) return calls();
    for (const filter of ERROR_SCOPES) this.device.pushErrorScope(filter);
    try {
      return calls();
    } finally {
      for (const _ of ERROR_SCOPES) {
        const popped = this.device.popErrorScope().then(
          (error) => error && this.fail(error),
          () => undefined, // the device is lost, and says so itself
        );
        this.scopes = this.scopes.then(() => popped);
      }
    }
  }

  /** Wait until the errors of all calls so far are known, and throw the first, if there is one. */
  async settle(): Promise<void> {
    await this.scopes;
    this.check();
  }

  /**
   * An engine on a device of its own.
   * @param gpu where to look for an adapter; by default the browser's `navigator.gpu`. In Node, `openEngine` of
   * `energate/node` supplies one.
   * @param awaiting on a software adapter, makes the calls that return promises of what the device is at work on: in Node
   * `openEngine` gives `patiently` of `energate/node`, which leaves the processor's cores to the adapter.
   * @throws DeviceError where there is no WebGPU or no adapter.
   */
  static async open(
    gpu: GPU | undefined = globalThis.navigator?.gpu,
    options: EngineOptions = {},
    awaiting?: Awaiting,
  ): Promise<Engine> {
    if (!gpu)
      throw new DeviceError('there is no WebGPU here: use a browser that has it, or openEngine() of energate/node');
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter)
      throw new DeviceError('WebGPU found no adapter: a GPU driver (Vulkan, Metal or Direct3D 12) is missing');
    const features = options.float16 ? [...OPTIONAL_FEATURES, ...MATRIX_FEATURES] : OPTIONAL_FEATURES;
    const device = await adapter.requestDevice({
      requiredFeatures: [...new Set(features)].filter((feature) => adapter.features.has(feature)),
      requiredLimits: Object.fromEntries(BUFFER_LIMITS.map((limit) => [limit, adapter.limits[limit]])),
    });
    return new Engine(device, options, { gpu, adapter }, awaiting);
  }

  /**
   * An engine on a device that the caller owns, and goes on owning. Default limits suffice for networks of up to 33 million
   * parameters, which are one binding, with smaller batches; what exceeds the device's is refused by a {@link LimitError} or {@link FeatureError} that names it.
   * @throws DeviceError if the device is lost already.
   */
  static async from(device: GPUDevice, options: EngineOptions = {}): Promise<Engine> {
    const engine = new Engine(device, options);
    await Promise.race([device.lost, Promise.resolve()]);
    engine.check();
    return engine;
  }

  /** Who made the adapter, and whether it computes on the CPU. */
  get adapter(): { vendor: string; architecture: string; device: string; description: string; software: boolean } {
    const { vendor, architecture, device, description } = this.device.adapterInfo;
    return { vendor, architecture, device, description, software: isSoftware(this.device.adapterInfo) };
  }

  /**
   * What kernels are best written for. On a CPU, lanes that read one address pay for it each, and exchanging values is cheap; on a
   * GPU it is the other way.
   */
  get traits(): DeviceTraits {
    const { features } = this.device;
    const info = this.device.adapterInfo as GPUAdapterInfo & { subgroupMinSize?: number; subgroupMaxSize?: number };
    if (!this.adapter.software) return { workgroupMemory: true };
    // Firefox, which names no adapter, has no other software on Linux.
    const name = nameOf(info);
    const llvm = /llvmpipe|lavapipe|^ *$/i.test(name);
    if (!features.has('subgroups')) return { llvm };
    // Where lavapipe's vectors have 4 lanes, exchanging takes longer than reading does.
    const lanes = /swiftshader/i.test(name) ? 4 : 8;
    return info.subgroupMinSize === lanes && info.subgroupMaxSize === lanes ? { lanes, llvm } : { llvm };
  }

  /**
   * What the device's matrix units multiply of float16 and add up in float32, the largest such product; undefined where it
   * has none that kernels can use, or was made without them.
   */
  get matrices(): SubgroupMatrices | undefined {
    // Dawn tells sizes of adapters, and of devices not yet.
    return matricesOf(this.device.features, this.owned?.adapter.info ?? this.device.adapterInfo);
  }

  /**
   * Throw what went wrong on the device since it was made, if anything did. What the GPU refused once ends the engine, since nobody
   * knows which results are missing: make another.
   */
  check(): void {
    if (this.lost !== undefined) throw new DeviceError(`the GPU device was lost: ${this.lost}`);
    if (this.failure) throw this.failure;
  }

  /** A buffer for compute, zeroed. `size` in bytes is rounded up to a multiple of 4. */
  createBuffer(label: string, size: number): GPUBuffer {
    const rounded = Math.max(4, Math.ceil(size / 4) * 4);
    const limit = BUFFER_LIMITS.find((name) => rounded > this.device.limits[name]);
    if (limit) {
      const have = this.device.limits[limit];
      throw new LimitError(
        `${label} needs ${rounded} bytes in one buffer, but this device binds at most ${have} (${limit}): use a smaller batch or network, or a device made with a higher limit`,
        { limit, have, need: rounded },
      );
    }
    const usage = USAGE.STORAGE | USAGE.UNIFORM | USAGE.COPY_SRC | USAGE.COPY_DST;
    const buffer = this.guard(() => this.device.createBuffer({ label, size: rounded, usage }));
    this.counters.buffers++;
    this.counters.bytes += rounded;
    return buffer;
  }

  /** Destroy a buffer that this engine made. */
  destroyBuffer(buffer: GPUBuffer): void {
    this.counters.bytes -= buffer.size;
    buffer.destroy();
  }

  /** A buffer that holds `data`. */
  upload(label: string, data: ArrayBufferView): Storage {
    const buffer = this.createBuffer(label, data.byteLength);
    const storage = { buffer, offset: 0, size: buffer.size };
    try {
      this.write(storage, data);
    } catch (error) {
      this.destroyBuffer(buffer);
      throw error;
    }
    return storage;
  }

  /** Write `data` to the beginning of `storage`. Bytes past a multiple of 4 are padded with zeros. */
  write(storage: Storage, data: ArrayBufferView): void {
    if (data.byteLength > storage.size) {
      throw new DeviceError(
        `cannot write ${data.byteLength} bytes into ${storage.buffer.label}, which has ${storage.size}`,
      );
    }
    requireUsage(storage.buffer, 'COPY_DST', 'written to');
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    const whole = bytes.byteLength - (bytes.byteLength % 4);
    this.guard(() => {
      this.device.queue.writeBuffer(storage.buffer, storage.offset, bytes, 0, whole);
      if (whole < bytes.byteLength) {
        const rest = new Uint8Array(4);
        rest.set(bytes.subarray(whole));
        this.device.queue.writeBuffer(storage.buffer, storage.offset + whole, rest);
      }
    });
  }

  /**
   * The bytes of each range, after all work submitted so far and before any that follows. One copy and one wait for all of
   * them; several reads may be under way.
   */
  async read(ranges: readonly Storage[]): Promise<ArrayBuffer[]> {
    this.check();
    for (const { buffer } of ranges) requireUsage(buffer, 'COPY_SRC', 'read');
    const total = ranges.reduce((sum, range) => sum + range.size, 0);
    const staging = this.takeStaging(total);
    const encoder = this.device.createCommandEncoder();
    let at = 0;
    for (const range of ranges) {
      encoder.copyBufferToBuffer(range.buffer, range.offset, staging, at, range.size);
      at += range.size;
    }
    this.submit(encoder);
    try {
      await this.guard(() => this.awaiting(() => staging.mapAsync(GPU_MAP_READ, 0, total)));
    } catch (error) {
      this.destroyBuffer(staging);
      await this.settle();
      throw new DeviceError(`reading from the GPU failed: ${(error as Error).message}`);
    }
    const mapped = staging.getMappedRange(0, total);
    at = 0;
    const copies = ranges.map((range) => {
      const copy = mapped.slice(at, at + range.size);
      at += range.size;
      return copy;
    });
    staging.unmap();
    if (this.destroyed) this.destroyBuffer(staging);
    else this.staging.push(staging);
    await this.settle();
    return copies;
  }

  /** A free staging buffer of at least this size. One that is too small makes way. */
  private takeStaging(size: number): GPUBuffer {
    const fits = this.staging.findIndex((buffer) => buffer.size >= size);
    if (fits >= 0) return this.staging.splice(fits, 1)[0]!;
    const small = this.staging.pop();
    if (small) this.destroyBuffer(small);
    const usage = USAGE.MAP_READ | USAGE.COPY_DST;
    const staging = this.guard(() => this.device.createBuffer({ label: 'staging', size, usage }));
    this.counters.buffers++;
    this.counters.bytes += size;
    return staging;
  }

  /** The pipeline of a specialised shader; the same one for the same shader, constants and uniforms. */
  pipeline(specialisation: ShaderSpecialisation): Promise<GPUComputePipeline> {
    return this.compiled(specialisation).pipeline;
  }

  private compiled(specialisation: ShaderSpecialisation): {
    slots: readonly Slot[];
    pipeline: Promise<GPUComputePipeline>;
  } {
    const shader = labelOf(specialisation);
    const code = specialise(specialisation);
    let compiled = this.pipelines.get(code);
    if (!compiled) {
      this.counters.pipelines++;
      const pipeline = this.guard(() => {
        const compute = { module: this.device.createShaderModule({ label: shader, code }), entryPoint: 'main' };
        return this.awaiting(() => this.device.createComputePipelineAsync({ label: shader, layout: 'auto', compute }));
      }).catch((error: Error) => {
        this.check();
        throw new DeviceError(`shader ${shader} does not compile on this device: ${error.message}`);
      });
      pipeline.then(
        (made) => this.fresh.set(made, code.length),
        () => undefined,
      );
      compiled = { slots: slotsOf(code), pipeline };
      this.pipelines.set(code, compiled);
    }
    return compiled;
  }

  /**
   * Resolve a dispatch's pipeline and bind group once, to be recorded any number of times. Buffers may be anybody's.
   * @throws LimitError, DeviceError where a buffer's usage, size or offset, or the device, does not allow it
   */
  async prepare(dispatch: Dispatch<Storage>): Promise<PreparedDispatch> {
    const { bindings, workgroups } = dispatch;
    const shader = labelOf(dispatch);
    const { slots, pipeline: compiling } = this.compiled(dispatch);
    checkBindings(this.device.limits, dispatch, slots);
    const pipeline = await compiling;
    this.counters.bindGroups++;
    const bindGroup = this.guard(() =>
      this.device.createBindGroup({
        label: shader,
        layout: pipeline.getBindGroupLayout(0),
        entries: bindings.map(({ buffer, offset, size }, binding) => ({ binding, resource: { buffer, offset, size } })),
      }),
    );
    return { shader, pipeline, bindGroup, workgroups };
  }

  /**
   * Have lavapipe compile kernels, as they were prepared, before they first run. On a lent device they wait for that.
   * @internal
   */
  async compileAhead(kernels: readonly Dispatch<unknown>[], prepared: readonly PreparedDispatch[]): Promise<void> {
    const { owned, options, awaiting } = this;
    if (!owned || !this.traits.llvm) return;
    const ahead: UncompiledKernel[] = [];
    for (const [i, { pipeline }] of prepared.entries()) {
      const length = this.fresh.get(pipeline);
      if (length !== undefined) ahead.push({ kernel: kernels[i]!, pipeline, length });
      this.fresh.delete(pipeline);
    }
    // What it fails at is compiled in the first run; a lost device says so itself.
    await compileAhead(this, ahead, () => Engine.open(owned.gpu, options, awaiting)).catch(() => undefined);
  }

  /**
   * Run dispatches once, each in a pass of its own between two timestamps. Dawn rounds these to 0.1 ms unless told otherwise
   * (toggle `timestamp_quantization`), so take the mean of many.
   * @returns milliseconds of each
   * @throws FeatureError where the device has no `timestamp-query`
   */
  async time(dispatches: readonly PreparedDispatch[]): Promise<number[]> {
    if (!this.device.features.has('timestamp-query')) {
      throw new FeatureError(
        'this device has no timestamp-query, so its kernels cannot be timed one by one',
        'timestamp-query',
      );
    }
    const count = 2 * dispatches.length;
    const querySet = this.device.createQuerySet({ type: 'timestamp', count });
    const resolved = this.device.createBuffer({
      label: 'timestamps',
      size: count * 8,
      usage: USAGE.QUERY_RESOLVE | USAGE.COPY_SRC,
    });
    const encoder = this.device.createCommandEncoder();
    dispatches.forEach((dispatch, i) => {
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
      });
      record(pass, [dispatch]);
      pass.end();
    });
    encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
    this.submit(encoder);
    try {
      const [bytes] = await this.read([{ buffer: resolved, offset: 0, size: count * 8 }]);
      const nanoseconds = new BigUint64Array(bytes!);
      return dispatches.map((_, i) => Number(nanoseconds[2 * i + 1]! - nanoseconds[2 * i]!) / 1e6);
    } finally {
      querySet.destroy();
      resolved.destroy();
    }
  }

  submit(encoder: GPUCommandEncoder): void {
    this.counters.submits++;
    this.guard(() => this.device.queue.submit([encoder.finish()]));
  }

  /** Done when the device has done all that is submitted so far. */
  submitted(): Promise<undefined> {
    return this.awaiting(() => this.device.queue.onSubmittedWorkDone());
  }

  /** Wait for all submitted work, and throw what went wrong, if anything did. */
  async finish(): Promise<void> {
    await this.submitted();
    await this.settle();
  }

  /** Free the engine's own things. A lent device stays as it is; an own device is destroyed. */
  destroy(): void {
    this.destroyed = true;
    for (const buffer of this.staging) this.destroyBuffer(buffer);
    this.staging = [];
    if (this.owned) this.device.destroy();
  }
}

/** The kernels by name, each once. */
function labelOf({ shader, parts }: ShaderSpecialisation): string {
  return parts ? [...new Set(parts.map((part) => part.shader))].join(' + ') : shader;
}

/** A dispatch with its GPU objects resolved. */
export interface PreparedDispatch {
  readonly shader: string;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** Record prepared dispatches, in order, into a compute pass. */
export function record(pass: GPUComputePassEncoder, dispatches: readonly PreparedDispatch[]): void {
  for (const { pipeline, bindGroup, workgroups } of dispatches) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
  }
}

const GPU_MAP_READ = 0x1;
