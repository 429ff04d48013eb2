import { toFloat16 } from '../../../src/formats/array.js';
import type { Picture } from '../../../src/gate/resize.js';

/** An RGB picture in a texture of this format, opaque; sRGB formats hold the same bytes. */
export function rgbaTexture(device: GPUDevice, { data, width, height }: Picture, format: GPUTextureFormat): GPUTexture {
  const order = format.startsWith('bgra') ? [2, 1, 0] : [0, 1, 2];
  const rgba = Uint8Array.from({ length: width * height * 4 }, (_, i) =>
    i % 4 === 3 ? 255 : data[Math.floor(i / 4) * 3 + order[i % 4]!]!,
  );
  const texels = format === 'rgba16float' ? toFloat16(Float32Array.from(rgba, (value) => value / 255)) : rgba;
  // TEXTURE_BINDING and COPY_DST.
  const texture = device.createTexture({ size: [width, height], format, usage: 0x4 | 0x2 });
  device.queue.writeTexture(
    { texture },
    texels as Uint8Array<ArrayBuffer>,
    { bytesPerRow: texels.byteLength / height },
    [width, height],
  );
  return texture;
}
