import { expect, it } from 'vitest';
import { grid, specialise } from '../../src/kernels/dispatch.js';

it('folds workgroups past 65535 into two dimensions that cover them', () => {
  for (const count of [1, 64, 65, 65535 * 64, 65535 * 64 + 1, 10 ** 8, 2 ** 32 - 1]) {
    const [x, y, z] = grid(count);
    expect(x * y * 64).toBeGreaterThanOrEqual(count);
    expect(Math.max(x, y, z)).toBeLessThanOrEqual(65535);
    // No more than a row too many.
    expect(x * (y - 1) * 64).toBeLessThan(count);
  }
});

it('sets constants and vector widths in the text', () => {
  const code = specialise({ shader: 'conv2d', constants: { IN_WIDTH: 1, IN_C: 3, BACKWARD: true } });
  expect(code).toContain('const IN_C = 3;');
  expect(code).toContain('const BACKWARD = true;');
  expect(code).toContain('alias InVec = f32;');
  expect(code).toContain('alias OutVec = vec4f;');
  expect(specialise({ shader: 'gather_images', constants: { SCALE: [1, 2.5, 3] } })).toContain(
    'const SCALE = vec3f(1, 2.5, 3);',
  );
});

it('leaves out lines and blocks by their condition, and numbers the bindings that are left', () => {
  const code = specialise({ shader: 'batch_norm_apply', constants: { BATCH: false, DROPS: true } });
  expect(code).not.toContain('GAMMA:');
  expect(code).not.toContain('workgroupBarrier');
  expect(code).toContain('y *= dropoutMask');
  expect(code.match(/@binding\(\d+\) var<[^>]+> \w+/g)).toEqual([
    '@binding(0) var<storage, read> X',
    '@binding(1) var<storage, read_write> Y',
    '@binding(2) var<storage, read> FIGURES',
    '@binding(3) var<uniform> STEP',
  ]);
});

it('refuses a constant the shader does not have', () => {
  expect(() => specialise({ shader: 'add', constants: { ROWS: 3 } })).toThrow('shader add has no constant ROWS');
});
