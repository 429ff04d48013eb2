import { create } from 'webgpu';

// Kept as long as the file's tests: Dawn frees a device with the last reference to what it hangs on.
const gpu = create([]);
const kept: unknown[] = [];

/** A program that owns a device with default limits and features, and does what it likes with it. */
export interface Host {
  readonly adapter: GPUAdapter;
  readonly device: GPUDevice;
}

export async function openHost(): Promise<Host> {
  const adapter = (await gpu.requestAdapter())!;
  const host = { adapter, device: await adapter.requestDevice() };
  kept.push(host);
  return host;
}

export const STORAGE = 0x80;
export const COPY_SRC = 0x4;
export const COPY_DST = 0x8;

/** A buffer of the host's that holds `data`. */
export function hostBuffer(
  { device }: Host,
  label: string,
  usage: number,
  data: Float32Array | Uint32Array,
): GPUBuffer {
  const buffer = device.createBuffer({ label, size: data.byteLength, usage: usage | COPY_DST });
  device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
  return buffer;
}

/** What a buffer of the host's holds, by the host's own means. */
export async function readHost({ device }: Host, buffer: GPUBuffer): Promise<Float32Array> {
  const staging = device.createBuffer({ size: buffer.size, usage: 0x1 | COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(0x1);
  const data = new Float32Array(staging.getMappedRange().slice(0));
  staging.destroy();
  return data;
}

/** A renderer: each call fills a texture with another shade of green. */
export function renderer({ device }: Host): { render(encoder: GPUCommandEncoder): number; pixel(): Promise<number[]> } {
  const texture = device.createTexture({ size: [64, 64], format: 'rgba8unorm', usage: 0x10 | 0x1 });
  const module = device.createShaderModule({
    code: `@group(0) @binding(0) var<uniform> green: f32;
      @vertex fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4f {
        return vec4f(vec2f(f32(i % 2) * 4 - 1, f32(i / 2) * 4 - 1), 0, 1);
      }
      @fragment fn colour() -> @location(0) vec4f { return vec4f(0, green, 0, 1); }`,
  });
  const pipeline = device.createRenderPipeline({
    layout: 'auto',
    vertex: { module },
    fragment: { module, targets: [{ format: 'rgba8unorm' }] },
  });
  const uniform = device.createBuffer({ size: 4, usage: 0x40 | COPY_DST });
  const bindGroup = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer: uniform } }],
  });
  let frame = 0;
  return {
    render(encoder) {
      frame++;
      device.queue.writeBuffer(uniform, 0, Float32Array.of(frame / 255));
      const pass = encoder.beginRenderPass({
        colorAttachments: [{ view: texture.createView(), loadOp: 'clear', storeOp: 'store', clearValue: [1, 0, 0, 1] }],
      });
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.draw(3);
      pass.end();
      return frame;
    },
    async pixel() {
      const buffer = device.createBuffer({ size: 64 * 256, usage: 0x1 | COPY_DST });
      const encoder = device.createCommandEncoder();
      encoder.copyTextureToBuffer({ texture }, { buffer, bytesPerRow: 256 }, [64, 64]);
      device.queue.submit([encoder.finish()]);
      await buffer.mapAsync(0x1);
      return [...new Uint8Array(buffer.getMappedRange(), 256 * 20 + 4 * 20, 4)];
    },
  };
}
