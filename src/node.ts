import { DeviceError } from './errors.js';
import { Engine, type EngineOptions } from './gpu/engine.js';
import { patiently } from './node/polling.js';
import { NoAdapterError, SOFTWARE_DRIVER_HINT } from './node/vulkan.js';

export * from './index.js';
export { readImageSet } from './node/images.js';
export { decodePicture, listPictures, readPicture } from './node/pictures.js';
export { patiently } from './node/polling.js';
export { type SwiftShaderEnvironment, swiftshaderEnvironment } from './node/swiftshader.js';
export { tileFile } from './node/tile-file.js';
export { NoAdapterError } from './node/vulkan.js';

/**
 * An engine in Node, on Dawn (the optional peer dependency `webgpu`). While a software adapter computes, Dawn pauses between
 * asking whether it is done, up to a millisecond: asking takes a core, which the adapter needs ({@link patiently}).
 * @throws {DeviceError} where `webgpu` is not installed.
 * @throws {NoAdapterError} where there is neither a GPU with a driver nor a software driver. On Linux a process started
 * with {@link swiftshaderEnvironment} has one; `energate doctor` finds out what is missing.
 */
export async function openEngine(options: EngineOptions = {}): Promise<Engine> {
  const gpu = await openDawn(options);
  // Asked for here as well (the second time costs nothing), for an error that knows what to install.
  if (await gpu.requestAdapter()) return Engine.open(gpu, options, patiently);
  throw new NoAdapterError(
    process.platform === 'linux'
      ? `Dawn found no Vulkan driver that it accepts: install the GPU's; without a GPU, ${SOFTWARE_DRIVER_HINT}, and start ` +
          'the process with what swiftshaderEnvironment() of energate/node gives; "energate doctor" tells more'
      : "Dawn found no adapter: install the GPU's driver",
  );
}

/** What Dawn withholds unless asked: experiments, and float16 on NVIDIA's driver. */
const FLOAT16_TOGGLES = 'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia';

async function openDawn({ float16 = false }: EngineOptions): Promise<GPU> {
  try {
    const { create } = await import('webgpu');
    return create(float16 ? [FLOAT16_TOGGLES] : []);
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0];
    throw new DeviceError(`the package webgpu cannot be loaded (${reason}): npm install webgpu`, { cause: error });
  }
}
