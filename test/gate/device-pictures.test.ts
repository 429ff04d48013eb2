import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireImages } from '../../src/data/device-images.js';
import { DataError, DeviceError } from '../../src/errors.js';
import { DevicePictures } from '../../src/gate/device-pictures.js';
import { fitPicture } from '../../src/gate/resize.js';
import { engine } from '../support/gpu.js';
import { rgbaTexture } from './support/device.js';
import { formulaPicture } from './support/pictures.js';

const { device } = engine;
let pictures: DevicePictures;
beforeAll(async () => {
  pictures = await DevicePictures.create(engine, 32);
});
afterAll(() => pictures.destroy());

/** What the device makes of textures: 32 x 32 x 3 bytes each. */
async function fitted(...textures: GPUTexture[]): Promise<Uint8Array[]> {
  const buffer = pictures.acquire(textures.length);
  textures.forEach((texture, i) => {
    pictures.fit(texture, buffer, i);
  });
  const [bytes] = await engine.read([{ buffer, offset: 0, size: textures.length * 3072 }]);
  pictures.release(buffer);
  for (const texture of textures) texture.destroy();
  return textures.map((_, i) => new Uint8Array(bytes!, i * 3072, 3072));
}

describe('a picture in a texture', () => {
  it('of any size becomes the bytes that it becomes on the CPU', async () => {
    const sizes = [
      [32, 32],
      [33, 47],
      [640, 48],
      [17, 23],
      [1, 3],
      [35, 200],
      [257, 300],
    ] as const;
    const all = sizes.map(([width, height]) => formulaPicture(width, height));
    const results = await fitted(...all.map((picture) => rgbaTexture(device, picture, 'rgba8unorm')));
    for (const [i, picture] of all.entries()) {
      expect(results[i], `${picture.width} x ${picture.height}`).toEqual(fitPicture(picture, 32));
    }
  });

  it.each(['bgra8unorm', 'rgba8unorm-srgb', 'bgra8unorm-srgb', 'rgba16float'] as const)('in %s too', async (format) => {
    const picture = formulaPicture(50, 40);
    const [result] = await fitted(rgbaTexture(device, picture, format));
    expect(result).toEqual(fitPicture(picture, 32));
  });

  it('makes no new buffer when one of its size was there before', async () => {
    const picture = formulaPicture(50, 40);
    await fitted(rgbaTexture(device, picture, 'rgba8unorm'));
    const { buffers } = engine.counters;
    await fitted(rgbaTexture(device, picture, 'rgba8unorm'));
    expect(engine.counters.buffers).toBe(buffers);
    // More sizes than are remembered: the tables of the oldest are freed.
    const { bytes } = engine.counters;
    for (let width = 40; width < 80; width++)
      await fitted(rgbaTexture(device, formulaPicture(width, 40), 'rgba8unorm'));
    expect(engine.counters.bytes - bytes).toBeLessThan(20 * 4096);
  });

  it('is refused where it cannot be read', () => {
    const make = (format: GPUTextureFormat, usage: number, sampleCount = 1) =>
      device.createTexture({ label: 'mine', size: [4, 4], format, usage, sampleCount });
    const buffer = pictures.acquire(1);
    const fitting = (texture: GPUTexture) => () => pictures.fit(texture, buffer, 0);
    expect(fitting(make('r8unorm', 4))).toThrow(/^the texture mine is r8unorm; a gate reads rgba8unorm, /);
    expect(fitting(make('rgba8unorm', 2))).toThrow(/cannot be read by shaders; create it with .*TEXTURE_BINDING$/);
    expect(fitting(make('rgba8unorm', 4 | 16, 4))).toThrow('is 2d with 4 samples; give a 2d texture of one, resolved');
    expect(fitting(make('r8unorm', 4))).toThrow(DeviceError);
    pictures.release(buffer);
  });
});

describe('images in a buffer', () => {
  it('are refused where it does not hold them, or cannot be copied from', () => {
    const buffer = device.createBuffer({ size: 2 * 3072, usage: 0x4 });
    const source = { buffer, offset: 0, count: 2 };
    requireImages(source, 3072);
    const requiring = (change: object) => () => requireImages({ ...source, ...change }, 3072);
    expect(requiring({ count: 3 })).toThrow(
      '3 images of 3072 bytes from byte 0 on end at 9216, but the buffer has 6144',
    );
    expect(requiring({ offset: 4 })).toThrow(DataError);
    expect(requiring({ offset: 2, count: 1 })).toThrow(/^1 images from byte 2 on: give a whole number, and a multiple/);
    expect(requiring({ count: -1 })).toThrow(DataError);
    expect(requiring({ count: Number.NaN })).toThrow(DataError);
    const mapped = device.createBuffer({ size: 3072, usage: 0x8 });
    expect(requiring({ buffer: mapped, count: 1 })).toThrow(/^the buffer cannot be copied from; create it with/);
    expect(requiring({ buffer: mapped, count: 1 })).toThrow(DeviceError);
  });
});
