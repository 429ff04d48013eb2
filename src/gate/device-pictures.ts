import type { ImagesInBuffer } from '../data/device-images.js';
import { DeviceError } from '../errors.js';
import { type Engine, record, type Storage } from '../gpu/engine.js';
import { fitPicture as fitOnDevice } from '../kernels/fit-picture.js';
import { type Fit, fitOf } from './resize.js';

/** How a picture of one size is fitted, on the device. */
interface Table {
  readonly storage: Storage;
  /** Rows of the picture that matter. */
  readonly rows: number;
}

/** Values of 0 to 1, as they are shown; `-srgb` formats hold the same bytes and are read as linear. */
const FORMATS: readonly string[] = [
  ...['rgba8unorm', 'rgba8unorm-srgb', 'bgra8unorm', 'bgra8unorm-srgb'],
  ...['rgba16float', 'rgb10a2unorm'],
];

/** Tables that are kept, of the sizes used last. */
const MOST_TABLES = 16;

/** Pictures in textures to bytes in buffers, without leaving the device: `fitPicture` to the bit. */
export class DevicePictures {
  private readonly engine: Engine;
  private readonly size: number;
  private readonly pipelines: readonly GPUComputePipeline[];
  private readonly tables = new Map<string, Table>();
  private readonly free: GPUBuffer[] = [];
  private middle: GPUBuffer | undefined;
  private destroyed = false;

  private constructor(engine: Engine, size: number, pipelines: readonly GPUComputePipeline[]) {
    this.engine = engine;
    this.size = size;
    this.pipelines = pipelines;
  }

  /** @param size height and width of the results, a multiple of 4 whose bytes are one of 256 */
  static async create(engine: Engine, size: number): Promise<DevicePictures> {
    const nothing = { picture: undefined, table: undefined, middle: undefined, y: undefined };
    const dispatches = fitOnDevice({ size, rows: 1 }, nothing);
    return new DevicePictures(engine, size, await Promise.all(dispatches.map((dispatch) => engine.pipeline(dispatch))));
  }

  /** Bytes of a picture that was fitted. */
  get bytes(): number {
    return this.size * this.size * 3;
  }

  /** A buffer for so many pictures, or more: give it back by {@link DevicePictures.release}. */
  acquire(count: number): GPUBuffer {
    const size = count * this.bytes;
    const at = this.free.findIndex((buffer) => buffer.size >= size);
    return at < 0 ? this.engine.createBuffer(`${count} pictures`, size) : this.free.splice(at, 1)[0]!;
  }

  release(buffer: GPUBuffer): void {
    if (this.destroyed) this.engine.destroyBuffer(buffer);
    else this.free.push(buffer);
  }

  /**
   * Fit what the texture shows now, after all work submitted so far; alpha is not looked at.
   * @param buffer from {@link DevicePictures.acquire}; the result goes to its image `index`
   * @throws DeviceError where the texture is of a kind that cannot be read
   */
  fit(texture: GPUTexture, buffer: GPUBuffer, index: number): void {
    checkTexture(texture);
    const { width, height, format } = texture;
    const table = this.tableOf(width, height, format.endsWith('-srgb'));
    const middle = this.middleOf(table.rows * this.size * 4);
    const view = this.engine.guard(() => texture.createView({ dimension: '2d', mipLevelCount: 1, arrayLayerCount: 1 }));
    const y: GPUBufferBinding = { buffer, offset: index * this.bytes, size: this.bytes };
    const dispatches = fitOnDevice<GPUBindingResource>(
      { size: this.size, rows: table.rows },
      { picture: view, table: table.storage, middle, y },
    );
    const prepared = dispatches.map(({ shader, bindings, workgroups }, i) => {
      const pipeline = this.pipelines[i]!;
      this.engine.counters.bindGroups++;
      const bindGroup = this.engine.guard(() =>
        this.engine.device.createBindGroup({
          label: shader,
          layout: pipeline.getBindGroupLayout(0),
          entries: bindings.map((resource, binding) => ({ binding, resource })),
        }),
      );
      return { shader, pipeline, bindGroup, workgroups };
    });
    const encoder = this.engine.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    record(pass, prepared);
    pass.end();
    this.engine.submit(encoder);
  }

  /** Copy images that are fitted already, as they are now, from a buffer that `requireImages` has let through. */
  copy({ buffer, offset, count }: ImagesInBuffer, to: GPUBuffer): void {
    const encoder = this.engine.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, offset, to, 0, count * this.bytes);
    this.engine.submit(encoder);
  }

  private tableOf(width: number, height: number, isSrgb: boolean): Table {
    const key = `${width} x ${height} ${isSrgb}`;
    const known = this.tables.get(key);
    this.tables.delete(key);
    const table = known ?? this.upload(key, fitOf(width, height, this.size), isSrgb);
    this.tables.set(key, table);
    if (this.tables.size > MOST_TABLES) {
      const [oldest, { storage }] = this.tables.entries().next().value!;
      this.tables.delete(oldest);
      this.engine.destroyBuffer(storage.buffer);
    }
    return table;
  }

  private upload(key: string, { columns, rows }: Fit, isSrgb: boolean): Table {
    const taps = [...columns, ...rows];
    const top = rows[0]!.first;
    const last = rows[this.size - 1]!;
    const count = last.first + last.weights.length - top;
    let at = 4 + 3 * taps.length;
    const data = new Int32Array(at + taps.reduce((sum, { weights }) => sum + weights.length, 0));
    data.set([count, top, isSrgb ? 1 : 0, 0]);
    taps.forEach(({ first, weights }, i) => {
      data.set([first, weights.length, at], 4 + 3 * i);
      data.set(weights, at);
      at += weights.length;
    });
    return { storage: this.engine.upload(`how a picture of ${key} is fitted`, data), rows: count };
  }

  private middleOf(size: number): GPUBufferBinding {
    if (!this.middle || this.middle.size < size) {
      if (this.middle) this.engine.destroyBuffer(this.middle);
      this.middle = this.engine.createBuffer('columns of a picture', size);
    }
    return { buffer: this.middle, size };
  }

  /** Free the device's memory. */
  destroy(): void {
    this.destroyed = true;
    for (const { storage } of this.tables.values()) this.engine.destroyBuffer(storage.buffer);
    for (const buffer of this.free) this.engine.destroyBuffer(buffer);
    if (this.middle) this.engine.destroyBuffer(this.middle);
    this.tables.clear();
    this.free.length = 0;
    this.middle = undefined;
  }
}

function checkTexture({ label, format, usage, dimension, sampleCount, width, height }: GPUTexture): void {
  const what = `the texture ${label || `of ${width} x ${height}`}`;
  if (!FORMATS.includes(format)) {
    throw new DeviceError(`${what} is ${format}; a gate reads ${FORMATS.join(', ')}`);
  }
  if (dimension !== '2d' || sampleCount !== 1) {
    throw new DeviceError(`${what} is ${dimension} with ${sampleCount} samples; give a 2d texture of one, resolved`);
  }
  if (!(usage & GPU_TEXTURE_BINDING)) {
    throw new DeviceError(`${what} cannot be read by shaders; create it with GPUTextureUsage.TEXTURE_BINDING`);
  }
}

// GPUTextureUsage.TEXTURE_BINDING by value: Node has no such global.
const GPU_TEXTURE_BINDING = 0x4;
