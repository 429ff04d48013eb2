import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vulkanManifests } from '../../src/node/vulkan.js';
import { CLI, energate, said, start } from './support/run.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'energate-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const hasLavapipe = vulkanManifests().some((path) => path.includes('lvp_icd'));
const hasSwiftShader = existsSync(new URL('../../node_modules/@sparticuz/chromium', import.meta.url));
/** As on a machine without any driver. */
const noDriver = { VK_DRIVER_FILES: '/nonexistent.json' };

describe.skipIf(!hasLavapipe)('energate doctor, where lavapipe is installed', () => {
  const lavapipe = { VK_DRIVER_FILES: vulkanManifests().find((path) => path.includes('lvp_icd'))! };

  it('--json tells the adapter, its features, limits and speed', async () => {
    const { code, stdout } = await energate(['doctor', '--json'], lavapipe);
    const report = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(report).toMatchObject({
      adapter: { kind: 'lavapipe', software: true, description: expect.stringContaining('llvmpipe') },
      search: expect.stringContaining('/vulkan/icd.d'),
      features: { subgroups: expect.any(Boolean), 'shader-f16': expect.any(Boolean) },
      limits: { maxStorageBuffersPerShaderStage: expect.any(Number) },
      versions: { node: process.versions.node, webgpu: expect.stringMatching(/^\d+\.\d+/) },
    });
    expect(report.problem).toBeUndefined();
    expect(report.gflops).toBeGreaterThan(0);
    expect(report.advice.join()).toMatch(/GPU/);
  });

  it('tells people the same, and returns to the shell', async () => {
    const { code, stdout } = await energate(['doctor'], lavapipe);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^adapter +llvmpipe/m);
    expect(stdout).toMatch(/^kind +lavapipe, on the CPU/m);
    expect(stdout).toMatch(/^shader-f16 +(yes|no)/m);
    expect(stdout).toMatch(/^matrix units +(yes, \d+x\d+x\d+|no)$/m);
    expect(stdout).toMatch(/^check +it computes, and rightly/m);
    expect(stdout).toMatch(/^faster +/m);
  });
});

describe.skipIf(!hasSwiftShader)('energate doctor, with SwiftShader from the npm package', () => {
  it('is re-executed on it where there is no driver, having unpacked it for this user alone', async () => {
    const cache = join(folder, 'cache');
    const { code, stdout } = await energate(['doctor', '--json'], { ...noDriver, XDG_CACHE_HOME: cache });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      adapter: { kind: 'SwiftShader' },
      search: expect.stringContaining(cache),
    });
    expect(statSync(join(cache, 'energate')).mode & 0o077).toBe(0);
    const [unpacked, ...others] = readdirSync(join(cache, 'energate'));
    expect(others).toEqual([]);
    expect(readdirSync(join(cache, 'energate', unpacked)).sort()).toEqual([
      'libvk_swiftshader.so',
      'libvulkan.so.1',
      'vk_swiftshader_icd.json',
    ]);
  });

  it('is re-executed where Dawn refuses the driver that is installed', async () => {
    const manifest = join(folder, 'broken_icd.json');
    const icd = { file_format_version: '1.0.0', ICD: { library_path: '/nonexistent.so', api_version: '1.3.0' } };
    writeFileSync(manifest, JSON.stringify(icd));
    const { code, stdout } = await energate(['doctor', '--json'], { VK_DRIVER_FILES: manifest });
    expect(code).toBe(0);
    expect(JSON.parse(stdout).adapter.kind).toBe('SwiftShader');
  });

  it('takes it, whatever else there is, with ENERGATE_ADAPTER=swiftshader', async () => {
    const { stdout } = await energate(['doctor'], { ENERGATE_ADAPTER: 'swiftshader' });
    expect(stdout).toMatch(/^kind +SwiftShader, on the CPU/m);
  });

  it('has no float16, which fine-tuning says before it computes anything', async () => {
    const output = join(folder, 'tuned.safetensors');
    const args = ['finetune', '--float16', '--quiet', '--output', output];
    const result = await start(CLI, args, { ENERGATE_ADAPTER: 'swiftshader' }).result;
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(said(result)).toEqual([expect.stringMatching(/^energate: float16 needs the feature shader-f16/)]);
    expect(existsSync(output)).toBe(false);
  });

  it('does not try a third time, and passes the exit code on, where SwiftShader does not start either', async () => {
    const cache = join(folder, 'damaged');
    await energate(['doctor'], { ...noDriver, XDG_CACHE_HOME: cache });
    const [unpacked] = readdirSync(join(cache, 'energate'));
    writeFileSync(join(cache, 'energate', unpacked, 'libvk_swiftshader.so'), 'damaged');
    const { code, stdout } = await energate(['doctor'], { ...noDriver, XDG_CACHE_HOME: cache });
    expect(code).toBe(1);
    expect(stdout).toMatch(/^problem +SwiftShader \(.*\) gives no adapter: .* set XDG_CACHE_HOME to another$/m);
    expect(stdout.match(/^problem/gm)).toHaveLength(1);
  });
});

describe('energate doctor, where there is nothing to run on', () => {
  it('says what to install, exit code 1', async () => {
    // A copy of the project in which the package with SwiftShader is not installed.
    const project = join(folder, 'project');
    const root = fileURLToPath(new URL('../../', import.meta.url));
    mkdirSync(join(project, 'node_modules'), { recursive: true });
    for (const name of ['src', 'package.json']) cpSync(join(root, name), join(project, name), { recursive: true });
    for (const name of ['webgpu', 'commander', 'fflate']) {
      symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name));
    }
    const result = await start(join(project, 'src/cli.ts'), ['doctor', '--json'], noDriver).result;
    const report = JSON.parse(result.stdout);
    expect(result).toMatchObject({ code: 1, stderr: '' });
    expect(report.adapter).toBeUndefined();
    expect(report.problem).toMatch(
      /^there is no Vulkan driver that Dawn accepts, and the package @sparticuz\/chromium, [^\n]+install lavapipe [^\n]+npm install --save-dev @sparticuz\/chromium@143$/,
    );
  });

  it('refuses an ENERGATE_ADAPTER that it does not know, exit code 2', async () => {
    const result = await start(CLI, ['doctor'], { ENERGATE_ADAPTER: 'nvidia' }).result;
    expect(result.code).toBe(2);
    expect(said(result)).toEqual(['energate: ENERGATE_ADAPTER is "nvidia": set it to swiftshader, or not at all']);
  });
});
