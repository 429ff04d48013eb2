import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DeviceError } from '../../src/errors.js';
import { swiftshaderEnvironment } from '../../src/node/swiftshader.js';

const installed = existsSync(new URL('../../node_modules/@sparticuz/chromium', import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'energate-')));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

describe.skipIf(!installed)('swiftshaderEnvironment', () => {
  it('unpacks a driver, its manifest and a loader into the cache, once', async () => {
    vi.stubEnv('XDG_CACHE_HOME', folder);
    vi.stubEnv('LD_LIBRARY_PATH', '/opt/lib');
    const { VK_DRIVER_FILES, VK_ICD_FILENAMES, LD_LIBRARY_PATH } = await swiftshaderEnvironment();
    const unpacked = dirname(VK_DRIVER_FILES);
    expect(dirname(unpacked)).toBe(join(folder, 'energate'));
    expect(VK_ICD_FILENAMES).toBe(VK_DRIVER_FILES);
    expect(LD_LIBRARY_PATH).toBe(`${unpacked}:/opt/lib`);
    const { ICD } = JSON.parse(await readFile(VK_DRIVER_FILES, 'utf8'));
    const elf = (await readFile(join(unpacked, ICD.library_path))).subarray(0, 4);
    expect(elf.toString('latin1')).toBe('\x7fELF');
    expect(existsSync(join(unpacked, 'libvulkan.so.1'))).toBe(true);

    const { ino } = await stat(unpacked);
    await swiftshaderEnvironment();
    expect((await stat(unpacked)).ino).toBe(ino);
  });

  it('may be asked for by several processes at once', async () => {
    vi.stubEnv('XDG_CACHE_HOME', folder);
    const environments = await Promise.all([1, 2, 3].map(swiftshaderEnvironment));
    expect(new Set(environments.map((environment) => environment.VK_DRIVER_FILES)).size).toBe(1);
    expect(await readdir(join(folder, 'energate'))).toHaveLength(1);
  });

  it('goes to the temporary folder where the cache cannot be written', async () => {
    vi.stubEnv('XDG_CACHE_HOME', '/dev/null');
    vi.stubEnv('TMPDIR', folder);
    const { VK_DRIVER_FILES } = await swiftshaderEnvironment();
    expect(dirname(dirname(VK_DRIVER_FILES))).toBe(join(folder, `energate-${userInfo().uid}`));
  });

  it('trusts no folder that others may write', async () => {
    const shared = join(folder, `energate-${userInfo().uid}`);
    await mkdir(shared);
    await chmod(shared, 0o777);
    vi.stubEnv('XDG_CACHE_HOME', '/dev/null');
    vi.stubEnv('TMPDIR', folder);
    await expect(swiftshaderEnvironment()).rejects.toThrow(DeviceError);
    await expect(swiftshaderEnvironment()).rejects.toThrow(
      /^cannot write safely to .*: set XDG_CACHE_HOME to a folder of yours$/,
    );
    expect(await readdir(shared)).toEqual([]);
  });
});
