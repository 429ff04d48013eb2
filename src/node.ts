import { Engine } from './gpu/engine.js';
import { DeviceError } from './errors.js';

export * from './index.js';

/**
 * An engine in Node, on Dawn (the optional peer dependency `webgpu`).
 * @throws DeviceError where `webgpu` is not installed or no Vulkan driver is found.
 */
export async function openEngine(): Promise<Engine> {
  let dawn: typeof import('webgpu');
  try {
    dawn = await import('webgpu');
  } catch (error) {
    throw new DeviceError(`the package webgpu cannot be loaded (${(error as Error).message.split('\n')[0]}): npm install webgpu`);
  }
  return Engine.open(dawn.create([]));
}
