import { DeviceError } from '../errors.js';
import { type DeviceTraits, type Dispatch, LANES, type ShaderSpecialisation, specialise } from '../kernels/dispatch.js';

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
const RAISED_LIMITS = ['maxBufferSize', 'maxStorageBufferBindingSize'] as const;
const OPTIONAL_FEATURES: readonly GPUFeatureName[] = ['timestamp-query', 'shader-f16', 'subgroups'];

/**
 * All that energate does on a GPU goes through an engine. There may be any number of them; nothing is global.
 *
 * `Engine.open()` makes one on a device of its own, `Engine.from(device)` on a device that somebody else owns, which it
 * never destroys or reconfigures.
 */
export class Engine {
  readonly device: GPUDevice;
  readonly counters: Counters = { buffers: 0, bytes: 0, pipelines: 0, bindGroups: 0, submits: 0 };
  /** Why the device was lost, once it was. */
  private lost: string | undefined;
  private failure: DeviceError | undefined;
  private readonly owned: { gpu: GPU; adapter: GPUAdapter } | undefined;
  private readonly pipelines = new Map<string, Promise<GPUComputePipeline>>();
  private staging: GPUBuffer | undefined;
  private reading: Promise<unknown> = Promise.resolve();

  private constructor(device: GPUDevice, owned?: { gpu: GPU; adapter: GPUAdapter }) {
    this.device = device;
    // Kept because Dawn's Node binding frees the instance, and all that hangs on it, with the last JavaScript reference.
    this.owned = owned;
    device.lost.then((info) => {
      this.lost = info.message || info.reason;
    });
    device.addEventListener('uncapturederror', (event) => {
      this.failure ??= new DeviceError(`the GPU refused a command: ${event.error.message.split('\n')[0]}`);
    });
  }

  /**
   * An engine on a device of its own.
   * @param gpu where to look for an adapter; by default the browser's `navigator.gpu`. In Node, `openEngine` of
   * `energate/node` supplies one.
   * @throws DeviceError where there is no WebGPU or no adapter.
   */
  static async open(gpu: GPU | undefined = globalThis.navigator?.gpu): Promise<Engine> {
    if (!gpu)
      throw new DeviceError('there is no WebGPU here: use a browser that has it, or openEngine() of energate/node');
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter)
      throw new DeviceError('WebGPU found no adapter: a GPU driver (Vulkan, Metal or Direct3D 12) is missing');
    const device = await adapter.requestDevice({
      requiredFeatures: OPTIONAL_FEATURES.filter((feature) => adapter.features.has(feature)),
      requiredLimits: Object.fromEntries(RAISED_LIMITS.map((limit) => [limit, adapter.limits[limit]])),
    });
    return new Engine(device, { gpu, adapter });
  }

  /**
   * An engine on a device that the caller owns, and goes on owning. Default limits suffice.
   * @throws DeviceError if the device is lost already.
   */
  static async from(device: GPUDevice): Promise<Engine> {
    const engine = new Engine(device);
    await Promise.race([device.lost, Promise.resolve()]);
    engine.check();
    return engine;
  }

  /** Who made the adapter, and whether it computes on the CPU. */
  get adapter(): { vendor: string; architecture: string; device: string; description: string; software: boolean } {
    const { vendor, architecture, device, description } = this.device.adapterInfo;
    const software = /swiftshader|llvmpipe|lavapipe|software|basic render/i.test(
      [vendor, architecture, device, description].join(' '),
    );
    return { vendor, architecture, device, description, software };
  }

  /** On a CPU, lanes that read one address pay for it each, and exchanging values is cheap; on a GPU it is the other way. */
  private get traits(): DeviceTraits {
    const { features, adapterInfo } = this.device;
    const size = (adapterInfo as GPUAdapterInfo & { subgroupMinSize?: number }).subgroupMinSize ?? 0;
    return { subgroups: this.adapter.software && features.has('subgroups') && size >= LANES };
  }

  /** Throw what went wrong on the device since it was made, if anything did. */
  check(): void {
    if (this.lost !== undefined) throw new DeviceError(`the GPU device was lost: ${this.lost}`);
    if (this.failure) throw this.failure;
  }

  /** A buffer for compute, zeroed. `size` in bytes is rounded up to a multiple of 4. */
  createBuffer(label: string, size: number): GPUBuffer {
    const rounded = Math.max(4, Math.ceil(size / 4) * 4);
    const limit = Math.min(this.device.limits.maxStorageBufferBindingSize, this.device.limits.maxBufferSize);
    if (rounded > limit) {
      throw new DeviceError(
        `${label} needs ${rounded} bytes in one buffer, but this device binds at most ${limit} (maxStorageBufferBindingSize): use a smaller batch`,
      );
    }
    const buffer = this.device.createBuffer({
      label,
      size: rounded,
      usage: GPU_BUFFER_STORAGE | GPU_BUFFER_UNIFORM | GPU_BUFFER_COPY_SRC | GPU_BUFFER_COPY_DST,
    });
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
    this.write(storage, data);
    return storage;
  }

  /** Write `data` to the beginning of `storage`. Bytes past a multiple of 4 are padded with zeros. */
  write(storage: Storage, data: ArrayBufferView): void {
    if (data.byteLength > storage.size) {
      throw new DeviceError(
        `cannot write ${data.byteLength} bytes into ${storage.buffer.label}, which has ${storage.size}`,
      );
    }
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    const whole = bytes.byteLength - (bytes.byteLength % 4);
    this.device.queue.writeBuffer(storage.buffer, storage.offset, bytes, 0, whole);
    if (whole < bytes.byteLength) {
      const rest = new Uint8Array(4);
      rest.set(bytes.subarray(whole));
      this.device.queue.writeBuffer(storage.buffer, storage.offset + whole, rest);
    }
  }

  /** The bytes of each range, after all work submitted so far. One copy and one wait for all of them. */
  read(ranges: readonly Storage[]): Promise<ArrayBuffer[]> {
    // One at a time: they share a staging buffer.
    const result = this.reading.then(() => this.readNow(ranges));
    this.reading = result.catch(() => undefined);
    return result;
  }

  private async readNow(ranges: readonly Storage[]): Promise<ArrayBuffer[]> {
    this.check();
    const total = ranges.reduce((sum, range) => sum + range.size, 0);
    if (!this.staging || this.staging.size < total) {
      if (this.staging) this.destroyBuffer(this.staging);
      this.staging = this.device.createBuffer({
        label: 'staging',
        size: total,
        usage: GPU_BUFFER_MAP_READ | GPU_BUFFER_COPY_DST,
      });
      this.counters.buffers++;
      this.counters.bytes += total;
    }
    const encoder = this.device.createCommandEncoder();
    let at = 0;
    for (const range of ranges) {
      encoder.copyBufferToBuffer(range.buffer, range.offset, this.staging, at, range.size);
      at += range.size;
    }
    this.submit(encoder);
    try {
      await this.staging.mapAsync(GPU_MAP_READ, 0, total);
    } catch (error) {
      this.check();
      throw new DeviceError(`reading from the GPU failed: ${(error as Error).message}`);
    }
    const mapped = this.staging.getMappedRange(0, total);
    at = 0;
    const copies = ranges.map((range) => {
      const copy = mapped.slice(at, at + range.size);
      at += range.size;
      return copy;
    });
    this.staging.unmap();
    this.check();
    return copies;
  }

  /** The pipeline of a specialised shader; the same one for the same shader, constants and uniforms. */
  pipeline(specialisation: ShaderSpecialisation): Promise<GPUComputePipeline> {
    const { shader } = specialisation;
    const code = specialise(specialisation, this.traits);
    let pipeline = this.pipelines.get(code);
    if (!pipeline) {
      this.counters.pipelines++;
      pipeline = this.device
        .createComputePipelineAsync({
          label: shader,
          layout: 'auto',
          compute: { module: this.device.createShaderModule({ label: shader, code }), entryPoint: 'main' },
        })
        .catch((error: Error) => {
          this.check();
          throw new DeviceError(`shader ${shader} does not compile on this device: ${error.message}`);
        });
      this.pipelines.set(code, pipeline);
    }
    return pipeline;
  }

  /** Resolve a dispatch's pipeline and bind group once, to be recorded any number of times. */
  async prepare(dispatch: Dispatch<Storage>): Promise<PreparedDispatch> {
    const { shader, bindings, workgroups } = dispatch;
    const pipeline = await this.pipeline(dispatch);
    this.counters.bindGroups++;
    const bindGroup = this.device.createBindGroup({
      label: shader,
      layout: pipeline.getBindGroupLayout(0),
      entries: bindings.map(({ buffer, offset, size }, binding) => ({ binding, resource: { buffer, offset, size } })),
    });
    return { shader, pipeline, bindGroup, workgroups };
  }

  /**
   * Run dispatches once, each in a pass of its own between two timestamps. Dawn rounds these to 0.1 ms unless told otherwise
   * (toggle `timestamp_quantization`), so take the mean of many.
   * @returns milliseconds of each
   * @throws DeviceError where the device has no `timestamp-query`
   */
  async time(dispatches: readonly PreparedDispatch[]): Promise<number[]> {
    if (!this.device.features.has('timestamp-query')) {
      throw new DeviceError('this device has no timestamp-query, so its kernels cannot be timed one by one');
    }
    const count = 2 * dispatches.length;
    const querySet = this.device.createQuerySet({ type: 'timestamp', count });
    const resolved = this.device.createBuffer({
      label: 'timestamps',
      size: count * 8,
      usage: GPU_BUFFER_QUERY_RESOLVE | GPU_BUFFER_COPY_SRC,
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
    this.device.queue.submit([encoder.finish()]);
  }

  /** Wait for all submitted work. */
  async finish(): Promise<void> {
    await this.device.queue.onSubmittedWorkDone();
    this.check();
  }

  /** Free the engine's own things. A lent device stays as it is; an own device is destroyed. */
  destroy(): void {
    if (this.staging) this.destroyBuffer(this.staging);
    this.staging = undefined;
    if (this.owned) this.device.destroy();
  }
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

// WebGPU's flag constants by value (GPUBufferUsage, GPUMapMode): Node has no such globals unless somebody sets them.
const GPU_BUFFER_MAP_READ = 0x1;
const GPU_BUFFER_COPY_SRC = 0x4;
const GPU_BUFFER_COPY_DST = 0x8;
const GPU_BUFFER_UNIFORM = 0x40;
const GPU_BUFFER_STORAGE = 0x80;
const GPU_BUFFER_QUERY_RESOLVE = 0x200;
const GPU_MAP_READ = 0x1;
