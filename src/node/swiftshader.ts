import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';
import { DeviceError } from '../errors.js';
import { readTar } from '../formats/tar.js';
import { cacheFolder } from './cache.js';
import { NoAdapterError, SOFTWARE_DRIVER_HINT } from './vulkan.js';

/** What a process must be started with for Dawn to run on SwiftShader. */
export interface SwiftShaderEnvironment {
  readonly LD_LIBRARY_PATH: string;
  /** The loader's name for it today, and the one it had before 1.3.207. */
  readonly VK_DRIVER_FILES: string;
  readonly VK_ICD_FILENAMES: string;
}

const PACKAGE = '@sparticuz/chromium';
const MANIFEST = 'vk_swiftshader_icd.json';
/** Of what the archive holds, what Vulkan needs: the driver, its manifest, and a loader. */
const FILES = ['libvk_swiftshader.so', 'libvulkan.so.1', MANIFEST];

/**
 * The environment in which Dawn runs on SwiftShader, a Vulkan driver for the CPU that needs no root: Linux on x64, from the
 * optional package `@sparticuz/chromium`, unpacked once into the user's cache folder. The dynamic linker reads it when a
 * process starts, so it must be set for a new one; setting it in `process.env` comes too late.
 * @throws {NoAdapterError} where there is no such package, or not for this machine.
 * @throws {DeviceError} if it cannot be unpacked.
 */
export async function swiftshaderEnvironment(): Promise<SwiftShaderEnvironment> {
  const folder = await unpacked(await readArchive());
  const manifest = join(folder, MANIFEST);
  const libraries = [folder, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':');
  return { LD_LIBRARY_PATH: libraries, VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest };
}

async function readArchive(): Promise<Uint8Array> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new NoAdapterError(
      `SwiftShader is packaged for Linux on x64, not ${process.platform} on ${process.arch}: install the GPU's driver, or lavapipe`,
    );
  }
  let main: string;
  try {
    main = createRequire(import.meta.url).resolve(PACKAGE);
  } catch {
    throw new NoAdapterError(
      `the package ${PACKAGE}, which carries SwiftShader, is not installed: without a GPU, ${SOFTWARE_DRIVER_HINT}`,
    );
  }
  // The package exports its code alone: main is build/cjs/index.cjs, and the archive lies in bin/.
  const archive = join(dirname(main), '../../bin/swiftshader.tar.br');
  return readFile(archive).catch((cause) => {
    throw new DeviceError(`cannot read ${archive}: npm install --save-dev ${PACKAGE}@143`, { cause });
  });
}

/** The folder where the archive lies unpacked. Whole or not there at all, however many processes unpack it at once. */
async function unpacked(archive: Uint8Array): Promise<string> {
  const hash = createHash('sha256').update(archive).digest('hex').slice(0, 16);
  const folder = join(await cacheFolder(), `swiftshader-${hash}`);
  if (await exists(folder)) return folder;

  const files = readTar(await promisify(brotliDecompress)(archive), 'swiftshader.tar.br');
  const temporary = `${folder}.${randomUUID()}.tmp`;
  try {
    await mkdir(temporary);
    for (const name of FILES) await writeFile(join(temporary, name), entry(files, name), { mode: 0o755 });
    await rename(temporary, folder);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    // Another process was faster.
    if (await exists(folder)) return folder;
    if (error instanceof DeviceError) throw error;
    throw new DeviceError(
      `cannot unpack SwiftShader into ${folder}: ${(error as Error).message}; set XDG_CACHE_HOME to a folder with 10 MB to spare`,
    );
  }
  return folder;
}

function entry(files: ReadonlyMap<string, Uint8Array>, name: string): Uint8Array {
  for (const [path, data] of files) if (basename(path) === name) return data;
  throw new DeviceError(`${PACKAGE} holds no ${name}: npm install --save-dev ${PACKAGE}@143, which does`);
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
