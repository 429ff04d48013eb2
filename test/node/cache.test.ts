import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { cacheFolder } from '../../src/node/cache.js';

// As in a container that runs as a number which no user has.
vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  userInfo: () => {
    throw new Error('A system error occurred: uv_os_get_passwd returned ENOENT (no such file or directory)');
  },
}));

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'energate-')));
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

it.skipIf(process.platform === 'win32')('a user without a name has a cache, too', async () => {
  writeFileSync(join(folder, 'file'), '');
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'file'));
  vi.stubEnv('TMPDIR', folder);
  expect(await cacheFolder()).toBe(join(folder, `energate-${process.getuid!()}`));
});
