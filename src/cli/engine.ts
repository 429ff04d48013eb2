import { DeviceError, UsageError } from '../errors.js';
import type { Engine } from '../gpu/engine.js';
import { swiftshaderEnvironment } from '../node/swiftshader.js';
import { NoAdapterError, vulkanManifests } from '../node/vulkan.js';
import { openEngine, Tuner, tileFile } from '../node.js';
import { isReexecuted, reexecute } from './reexecute.js';

/**
 * The engine a command computes on: the GPU, else lavapipe, else (Linux on x64) SwiftShader, for which the command line is
 * run a second time and this call never returns. So call it before anything is printed. A software adapter is announced on
 * stderr unless `quiet`. `ENERGATE_ADAPTER=swiftshader` takes SwiftShader whatever else there is; `ENERGATE_TUNE=1` has kernels'
 * tiles chosen by measuring, and kept in the user's cache folder.
 * @param options.float16 as `openEngine` takes it
 * @throws {DeviceError} where there is no adapter at all, with what to install.
 */
export async function openAnnouncedEngine({
  quiet = false,
  float16,
}: {
  quiet?: boolean | undefined;
  float16?: boolean | undefined;
}): Promise<Engine> {
  if (isSwiftShaderForced() && !isReexecuted()) return reexecute({ ...(await swiftshaderEnvironment()) });
  const engine = await openInstalled(float16).catch((error: unknown) => {
    if (error instanceof NoAdapterError && process.platform === 'linux') return fallBack(error);
    throw error;
  });
  if (engine.adapter.software && !quiet) {
    console.error(
      `energate: running on the CPU by ${adapterKind(engine.adapter)}: a GPU is far faster; "energate doctor" tells more`,
    );
  }
  if (engine.tuner && !quiet) {
    console.error(
      'energate: ENERGATE_TUNE=1: kernels that are new to this adapter are measured first, once; on a software adapter that takes minutes',
    );
  }
  return engine;
}

/** What computes: a GPU, or the name of the software that stands in for one. */
export function adapterKind({ description, architecture, software }: Engine['adapter']): string {
  if (!software) return 'GPU';
  const name = `${description} ${architecture}`;
  if (/llvmpipe|lavapipe/i.test(name)) return 'lavapipe';
  return /swiftshader/i.test(name) ? 'SwiftShader' : description || 'software';
}

async function openInstalled(float16: boolean | undefined): Promise<Engine> {
  // Dawn would find nothing either, and print at length that it did not.
  if (process.platform === 'linux' && vulkanManifests().length === 0) throw new NoAdapterError('no driver manifest');
  return openEngine({ tuner: isTuned() ? new Tuner(await tileFile()) : undefined, float16 });
}

async function fallBack(cause: NoAdapterError): Promise<never> {
  if (isReexecuted()) {
    throw new DeviceError(
      `SwiftShader (${process.env.VK_DRIVER_FILES}) gives no adapter: if its folder forbids running programs (noexec), set XDG_CACHE_HOME to another`,
      { cause },
    );
  }
  const environment = await swiftshaderEnvironment().catch((error: unknown) => {
    if (!(error instanceof NoAdapterError)) throw error;
    throw new NoAdapterError(`there is no Vulkan driver that Dawn accepts, and ${error.message}`);
  });
  return reexecute({ ...environment });
}

function isTuned(): boolean {
  const wanted = process.env.ENERGATE_TUNE;
  if (wanted === undefined || wanted === '0' || wanted === '1') return wanted === '1';
  throw new UsageError(`ENERGATE_TUNE is ${JSON.stringify(wanted)}: set it to 1, or to 0, or not at all`);
}

function isSwiftShaderForced(): boolean {
  const wanted = process.env.ENERGATE_ADAPTER;
  if (wanted === undefined || wanted === 'swiftshader') return wanted !== undefined;
  throw new UsageError(`ENERGATE_ADAPTER is ${JSON.stringify(wanted)}: set it to swiftshader, or not at all`);
}
