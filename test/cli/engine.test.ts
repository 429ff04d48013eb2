import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { vulkanManifests } from '../../src/node/vulkan.js';
import { said, start } from './support/run.js';

const PROGRAM = fileURLToPath(new URL('./support/engine.ts', import.meta.url));
const lavapipe = vulkanManifests().find((path) => path.includes('lvp_icd'));

describe.skipIf(!lavapipe)('openAnnouncedEngine, on lavapipe', () => {
  it('announces on stderr that it runs on the CPU', async () => {
    const result = await start(PROGRAM, ['command'], { VK_DRIVER_FILES: lavapipe }).result;
    expect(result.stdout).toContain('llvmpipe');
    expect(said(result)).toEqual([
      'energate: running on the CPU by lavapipe: a GPU is far faster; "energate doctor" tells more',
    ]);
  });

  it('announces that it measures first, where it is to', async () => {
    const result = await start(PROGRAM, ['command'], { VK_DRIVER_FILES: lavapipe, ENERGATE_TUNE: '1' }).result;
    expect(said(result)[1]).toMatch(
      /^energate: ENERGATE_TUNE=1: kernels that are new to this adapter are measured first/,
    );
    expect(said(result)).toHaveLength(2);
  });

  it('says nothing when quiet', async () => {
    const result = await start(PROGRAM, ['quiet'], { VK_DRIVER_FILES: lavapipe }).result;
    expect(result.stdout).toContain('llvmpipe');
    expect(said(result)).toEqual([]);
  });

  it.each([
    [undefined, 'without a tuner'],
    ['0', 'without a tuner'],
    ['1', 'with a tuner'],
    ['yes', 'UsageError: ENERGATE_TUNE is "yes": set it to 1, or to 0, or not at all'],
  ])('tunes only where ENERGATE_TUNE is 1, and it is %s', async (wanted, expected) => {
    const variables = { VK_DRIVER_FILES: lavapipe, ...(wanted && { ENERGATE_TUNE: wanted }) };
    const { stdout } = await start(PROGRAM, ['quiet'], variables).result;
    expect(stdout).toContain(expected);
  });
});

describe('openEngine', () => {
  it.skipIf(process.platform !== 'linux')('refuses, and tells a way, where there is no driver', async () => {
    const { code, stdout } = await start(PROGRAM, ['library'], { VK_DRIVER_FILES: '/nonexistent.json' }).result;
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^NoAdapterError: Dawn found no Vulkan driver [^\n]+ npm install [^\n]+ swiftshaderEnvironment\(\) [^\n]+ "energate doctor" tells more\n$/,
    );
  });
});
