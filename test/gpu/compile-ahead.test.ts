import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { engine } from '../support/gpu.js';

const cache = mkdtempSync(join(tmpdir(), 'energate-mesa-'));
afterAll(() => rmSync(cache, { recursive: true }));

interface Result {
  readonly devices: number;
  readonly compile: number;
  readonly firstRun: number;
  readonly values: readonly number[];
}

function firstRun(environment: Readonly<Record<string, string>>): Result {
  const script = new URL('support/first-run.ts', import.meta.url).pathname;
  const output = execFileSync(process.execPath, ['--import', import.meta.resolve('tsx'), script], {
    env: { ...process.env, ...environment },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return JSON.parse(output);
}

describe.skipIf(!engine.traits.llvm)('lavapipe (skipped on others)', () => {
  it('has compiled a program before its first run, with a second device, which a cache spares; to the same bits', () => {
    const cold = firstRun({ MESA_SHADER_CACHE_DIR: cache });
    expect(cold.devices).toBe(2);
    expect(cold.firstRun).toBeLessThan(cold.compile / 4);
    const warm = firstRun({ MESA_SHADER_CACHE_DIR: cache });
    expect(warm.devices).toBe(1);
    expect(warm.compile).toBeLessThan(cold.compile / 2);
    expect(warm.values).toEqual(cold.values);
    expect(cold.values.some((value) => value !== 0)).toBe(true);
  });

  it('computes the same without a cache', () => {
    const { devices, values } = firstRun({ MESA_SHADER_CACHE_DISABLE: 'true' });
    expect(devices).toBe(2);
    expect(values).toEqual(firstRun({ MESA_SHADER_CACHE_DIR: cache }).values);
  });
});
