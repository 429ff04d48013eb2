import { afterAll, expect, type MockInstance, vi } from 'vitest';
import { Engine, record, type Storage } from '../../src/gpu/engine.js';
import { type Dispatch, partsOf } from '../../src/kernels/dispatch.js';

/** With `MATRICES=1` the adapter has to have matrix units, and tests of their kernels run (see CONTRIBUTING). */
const float16 = globalThis.process?.env.MATRICES === '1';

/** The engine of a test file: vitest runs each in a process of its own, or in a page of its own. */
export const engine = globalThis.navigator?.gpu
  ? await Engine.open()
  : await (await import('../../src/node.js')).openEngine({ float16 });
afterAll(() => engine.destroy());
if (float16 && !engine.matrices) throw new Error('MATRICES=1, but this adapter has no matrix units');

/** So many lanes of its subgroups can exchange, the adapter's own choice first; or none do. */
export const LANES: readonly (number | undefined)[] = [
  engine.traits.lanes,
  ...[8, 4].filter((lanes) => lanes < (engine.traits.lanes ?? 0)),
  ...(engine.traits.lanes === undefined ? [] : [undefined]),
];

// A software adapter takes seconds to compile a large kernel the first time that it runs.
vi.setConfig({ testTimeout: 120_000 });

/** The kernels that an engine has prepared since it was spied upon. */
export const shadersOf = (prepare: MockInstance<Engine['prepare']>): Set<string> =>
  new Set(prepare.mock.calls.flatMap(([dispatch]) => partsOf(dispatch).map(({ shader }) => shader)));

/** Of a network on matrix units. */
export const MATRIX_SHADERS = ['conv2d_matrix', 'conv2d_backward_weights_matrix'];

export type Data = Float32Array | Uint32Array;

/** A NaN that no arithmetic on numbers gives: what was not written shows, and so does what was made of it. */
const PATTERN = 0x7fc0be00;
/**
 * Words after the end of every buffer, inside the bound range: WebGPU would clamp or drop what goes past that. Each buffer
 * has a NaN of its own there, since sums keep the bits of a NaN: one carried from guard to guard shows.
 */
const GUARD = 64;
const guardOf = (index: number) => PATTERN + 1 + index;

/** An output of `length` elements, which a kernel has to write in full. */
export function output(length: number): Float32Array {
  return new Float32Array(new Uint32Array(length).fill(PATTERN).buffer);
}

/**
 * Run dispatches on buffers given by name, in one pass, `times` over.
 * @returns what each buffer holds afterwards; fails where anything was written past the end of one
 */
export async function runKernel<T extends Record<string, Data>>(
  buffers: T,
  dispatches: (names: { [K in keyof T]: string }) => Dispatch<string> | readonly Dispatch<string>[],
  times = 1,
): Promise<T> {
  const names = Object.keys(buffers);
  const storages = new Map<string, Storage>();
  for (const [i, [name, data]] of Object.entries(buffers).entries()) {
    const words = new Uint32Array(data.length + GUARD).fill(guardOf(i));
    words.set(new Uint32Array(data.buffer, data.byteOffset, data.length));
    storages.set(name, engine.upload(name, words));
  }
  const list = [dispatches(Object.fromEntries(names.map((name) => [name, name])) as { [K in keyof T]: string })].flat();
  const prepared = await Promise.all(
    list.map((dispatch) =>
      engine.prepare({ ...dispatch, bindings: dispatch.bindings.map((name) => storages.get(name)!) }),
    ),
  );
  const encoder = engine.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (let i = 0; i < times; i++) record(pass, prepared);
  pass.end();
  engine.submit(encoder);
  const contents = await engine.read(names.map((name) => storages.get(name)!));
  for (const { buffer } of storages.values()) engine.destroyBuffer(buffer);

  return Object.fromEntries(
    names.map((name, i) => {
      const { length } = buffers[name]!;
      const guard = new Uint32Array(contents[i]!, length * 4);
      expect(
        guard.findIndex((word) => word !== guardOf(i)),
        `first word changed past the end of ${name}`,
      ).toBe(-1);
      const kind = buffers[name] instanceof Uint32Array ? Uint32Array : Float32Array;
      return [name, new kind(contents[i]!, 0, length)];
    }),
  ) as T;
}
