import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vulkanManifests } from '../../src/node/vulkan.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'energate-'));
  for (const root of ['config', 'data', 'home/.config', 'home/.local/share']) {
    await mkdir(join(folder, root, 'vulkan/icd.d'), { recursive: true });
    await writeFile(join(folder, root, 'vulkan/icd.d/one_icd.json'), '{}');
    await writeFile(join(folder, root, 'vulkan/icd.d/README'), '');
  }
});
afterAll(() => rm(folder, { recursive: true }));

const manifest = (root: string) => join(folder, root, 'vulkan/icd.d/one_icd.json');

describe('vulkanManifests', () => {
  it('looks where the loader looks', () => {
    const found = vulkanManifests({
      HOME: join(folder, 'home'),
      XDG_CONFIG_DIRS: join(folder, 'config'),
      XDG_DATA_DIRS: `${join(folder, 'data')}:${join(folder, 'nothing')}`,
    });
    const ours = found.filter((path) => path.startsWith(folder));
    expect(ours).toEqual(['home/.config', 'config', 'home/.local/share', 'data'].map(manifest));
  });

  it('looks nowhere else where VK_DRIVER_FILES or its older name says where', () => {
    const environment = { HOME: join(folder, 'home') };
    expect(vulkanManifests({ ...environment, VK_DRIVER_FILES: manifest('data') })).toEqual([manifest('data')]);
    expect(vulkanManifests({ ...environment, VK_DRIVER_FILES: '/nonexistent.json' })).toEqual([]);
    expect(vulkanManifests({ ...environment, VK_ICD_FILENAMES: manifest('data') })).toEqual([manifest('data')]);
    const both = { VK_DRIVER_FILES: manifest('config'), VK_ICD_FILENAMES: manifest('data') };
    expect(vulkanManifests(both)).toEqual([manifest('config')]);
  });

  it('takes folders for the manifests in them, and those that are added', () => {
    expect(vulkanManifests({ VK_DRIVER_FILES: join(folder, 'data/vulkan/icd.d') })).toEqual([manifest('data')]);
    const added = { HOME: folder, VK_ADD_DRIVER_FILES: manifest('config') };
    expect(vulkanManifests(added)[0]).toBe(manifest('config'));
  });
});
