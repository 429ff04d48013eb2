import { expect, it, vi } from 'vitest';
import { Engine } from '../../src/gpu/engine.js';
import { MATRIX_FEATURES, matricesOf } from '../../src/gpu/matrices.js';

const config = (M: number, N: number, K: number, types = ['f16', 'f32']) => ({
  componentType: types[0]!,
  resultComponentType: types[1]!,
  M,
  N,
  K,
});
/** As NVIDIA's driver tells it. */
const CONFIGS = [config(16, 8, 8), config(16, 16, 16, ['f16', 'f16']), config(16, 16, 16), config(16, 8, 16)];
const ALL = new Set<string>(MATRIX_FEATURES);
const of32 = { subgroupMinSize: 32, subgroupMaxSize: 32 };

it.each([
  ['the largest that adds up in float32', { ...of32, subgroupMatrixConfigs: CONFIGS }, [16, 16, 16, 32]],
  ['Apple’s', { ...of32, subgroupMatrixConfigs: [config(8, 8, 8)] }, [8, 8, 8, 32]],
  ['none that adds up in float16', { ...of32, subgroupMatrixConfigs: [config(16, 16, 16, ['f16', 'f16'])] }, undefined],
  ['none of whole numbers', { ...of32, subgroupMatrixConfigs: [config(16, 16, 32, ['i8', 'i32'])] }, undefined],
  ['none of other sides', { ...of32, subgroupMatrixConfigs: [config(4, 4, 4), config(32, 32, 16)] }, undefined],
  ['none without a list', of32, undefined],
  [
    'none where subgroups have several sizes',
    { subgroupMinSize: 32, subgroupMaxSize: 64, subgroupMatrixConfigs: CONFIGS },
    undefined,
  ],
  ['none of 128 lanes', { subgroupMinSize: 128, subgroupMaxSize: 128, subgroupMatrixConfigs: CONFIGS }, undefined],
  ['none where sizes are not told', { subgroupMatrixConfigs: CONFIGS }, undefined],
])('matrix units: %s', (_, info, expected) => {
  const found = matricesOf(ALL, info);
  expect(found && [found.height, found.width, found.terms, found.lanes]).toEqual(expected);
});

it.each(MATRIX_FEATURES)('matrix units: none without %s', (feature) => {
  const others = new Set([...ALL].filter((other) => other !== feature));
  expect(matricesOf(others, { ...of32, subgroupMatrixConfigs: CONFIGS })).toBeUndefined();
});

/** An adapter that has all, and hands out devices that have what is asked for, and do not tell sizes, like Dawn's. */
function fakeGpu() {
  const requestDevice = vi.fn(async ({ requiredFeatures }: { requiredFeatures: string[] }) => ({
    features: new Set(requiredFeatures),
    adapterInfo: of32,
    lost: new Promise(() => {}),
    addEventListener() {},
  }));
  const adapter = { features: ALL, limits: {}, info: { ...of32, subgroupMatrixConfigs: CONFIGS }, requestDevice };
  return { requestAdapter: async () => adapter } as unknown as GPU;
}

it('an engine asks for the experiment where it is opened with float16, and not else', async () => {
  const plain = await Engine.open(fakeGpu());
  expect([...plain.device.features].sort()).toEqual(['shader-f16', 'subgroups']);
  expect(plain.matrices).toBeUndefined();
  const asked = await Engine.open(fakeGpu(), { float16: true });
  expect(asked.matrices).toEqual({ height: 16, width: 16, terms: 16, lanes: 32 });
});

it('a lent device has them where it tells their sizes', async () => {
  const { device } = await Engine.open(fakeGpu(), { float16: true });
  expect((await Engine.from(device)).matrices).toBeUndefined();
  const telling = { ...device, adapterInfo: { ...of32, subgroupMatrixConfigs: CONFIGS } } as unknown as GPUDevice;
  expect((await Engine.from(telling)).matrices).toEqual({ height: 16, width: 16, terms: 16, lanes: 32 });
});
