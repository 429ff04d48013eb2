import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { generate, target } from '../../scripts/embed-shaders.js';
import { type ShaderName, specialise } from '../../src/kernels/dispatch.js';
import { SHADERS } from '../../src/kernels/shaders.js';
import { engine } from '../support/gpu.js';

it('src/kernels/shaders.ts is what shaders/*.wgsl make', () => {
  expect(readFileSync(target, 'utf8')).toBe(generate());
});

const constant = (code: string, name: string) => Number(new RegExp(`^const ${name} = (\\d+);`, 'm').exec(code)?.[1]);
/** A number, or the constant of that name. */
const value = (code: string, text: string) => (/^\d+$/.test(text) ? Number(text) : constant(code, text));

const SIZES: Readonly<Record<string, number>> = { f32: 4, u32: 4, vec4f: 16, vec4h: 8 };

describe.each(Object.keys(SHADERS) as ShaderName[])('shader %s', (name) => {
  const code = specialise({ shader: name, constants: {} });

  // Matrices are of the sizes that an adapter has: conv2d's tests compile these.
  const onMatrices = code.includes('enable chromium_experimental_subgroup_matrix');
  it.skipIf(onMatrices)('compiles as it is written', async () => {
    const info = await engine.device.createShaderModule({ code }).getCompilationInfo();
    expect(info.messages.map(({ message }) => message)).toEqual([]);
    await engine.pipeline({ shader: name, constants: {} });
  });

  it('stays within the limits that every device has', () => {
    expect(code.match(/var<storage/g)!.length).toBeLessThanOrEqual(8);
    const sides = /@workgroup_size\(([^)]+)\)/.exec(code)![1]!.split(',');
    const invocations = sides.reduce((product, side) => product * value(code, side.trim()), 1);
    expect(invocations).toBeGreaterThan(0);
    expect(invocations).toBeLessThanOrEqual(256);
    const memory = Array.from(
      code.matchAll(/var<workgroup> \w+: array<(\w+), (\w+)>/g),
      ([, type, count]) => SIZES[type!]! * value(code, count!),
    );
    expect(memory).toHaveLength(code.match(/var<workgroup>/g)?.length ?? 0);
    expect(memory.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(16384);
  });
});
