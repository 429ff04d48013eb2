import { readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { DeviceError } from '../errors.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** There is no adapter: neither a GPU with a driver, nor a software one. */
export class NoAdapterError extends DeviceError {
  override name = 'NoAdapterError';
}

/** How to get lavapipe, the faster of the two software drivers. */
export const LAVAPIPE_HINT =
  'install lavapipe (as root; Debian 12: apt-get install -t bookworm-backports mesa-vulkan-drivers, since its own Mesa ' +
  '22.3 is too old)';

/** How to get a software driver where there is no GPU, with and without root. */
export const SOFTWARE_DRIVER_HINT = `${LAVAPIPE_HINT} or, without root on x64, SwiftShader: npm install --save-dev @sparticuz/chromium@143`;

/**
 * The Vulkan driver manifests that the loader sees on Linux, where it looks for them ("Driver discovery" in the loader's
 * LoaderDriverInterface.md). That one is there does not mean that Dawn accepts its driver; that none is, that there is none.
 */
export function vulkanManifests(environment: Environment = process.env): string[] {
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES, VK_ADD_DRIVER_FILES } = environment;
  const named = VK_DRIVER_FILES ?? VK_ICD_FILENAMES;
  if (named !== undefined) return paths(named).flatMap(manifestsAt);
  return [...paths(VK_ADD_DRIVER_FILES), ...manifestFolders(environment)].flatMap(manifestsAt);
}

function manifestFolders(environment: Environment): string[] {
  const home = environment.HOME ?? homedir();
  const roots = [
    environment.XDG_CONFIG_HOME ?? join(home, '.config'),
    ...paths(environment.XDG_CONFIG_DIRS ?? '/etc/xdg'),
    '/usr/local/etc',
    '/etc',
    environment.XDG_DATA_HOME ?? join(home, '.local/share'),
    ...paths(environment.XDG_DATA_DIRS),
    '/usr/local/share',
    '/usr/share',
    '/run/opengl-driver/share', // NixOS
  ];
  return [...new Set(roots)].map((root) => join(root, 'vulkan/icd.d'));
}

/** The manifests in a folder, or the one manifest that `path` is. */
function manifestsAt(path: string): string[] {
  const info = statSync(path, { throwIfNoEntry: false });
  if (info?.isFile()) return [path];
  if (!info?.isDirectory()) return [];
  return readdirSync(path)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => join(path, name));
}

function paths(list: string | undefined): string[] {
  return (list ?? '').split(':').filter(Boolean);
}
