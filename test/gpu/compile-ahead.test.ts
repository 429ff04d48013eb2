import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Graph } from '../../src/graph/graph.js';
import { add, relu } from '../../src/graph/ops/elementwise.js';
import { Program } from '../../src/graph/program.js';
import { engine } from '../support/gpu.js';

const [COPY_SRC, COPY_DST, STORAGE] = [0x4, 0x8, 0x80];

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
    env: { ...process.env, MESA_SHADER_CACHE_DIR: cache, MESA_SHADER_CACHE_DISABLE: 'false', ...environment },
    encoding: 'utf8',
  });
  return JSON.parse(output);
}

describe.skipIf(!engine.traits.llvm)('lavapipe (skipped on others)', () => {
  it('has compiled a program before its first run, with a second device, which a cache spares; to the same bits', () => {
    const cold = firstRun({});
    expect(cold.devices).toBe(2);
    expect(cold.firstRun).toBeLessThan(cold.compile / 4);
    const warm = firstRun({});
    expect(warm.devices).toBe(1);
    expect(warm.compile).toBeLessThan(cold.compile / 2);
    expect(warm.values).toEqual(cold.values);
    expect(cold.values.some((value) => value !== 0)).toBe(true);
  });

  it.each([{ MESA_SHADER_CACHE_DISABLE: 'true' }, { MESA_SHADER_CACHE_DISABLE: 'true', NO_HELPER: '1' }])(
    'computes the same with %o',
    (environment) => {
      const { devices, values } = firstRun(environment);
      expect(devices).toBe(2);
      expect(values).toEqual(firstRun({}).values);
    },
  );

  it('leaves alone what the host has mapped while the program is compiled', async () => {
    const graph = new Graph();
    const x = graph.input('x', [8]);
    let y = x;
    for (let i = 0; i < 8; i++) y = i % 2 ? relu(y) : add(y, x);
    // Four kernels that were not here before, each of another size.
    const parts = [9, 10, 11, 12].map((size, i) => relu(graph.input(`p${i}`, [size])));
    const size = 32;
    const mapped = engine.device.createBuffer({ size, usage: STORAGE | COPY_DST | COPY_SRC, mappedAtCreation: true });
    const program = await Program.compile(
      engine,
      graph,
      [y, ...parts],
      new Map([[x, { buffer: mapped, offset: 0, size }]]),
    );
    new Float32Array(mapped.getMappedRange()).fill(1);
    mapped.unmap();
    program.run();
    expect([...(await program.read(y))[0]!]).toEqual(Array(8).fill(5));
    program.destroy();
    mapped.destroy();
  });
});
