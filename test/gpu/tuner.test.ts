import { describe, expect, it } from 'vitest';
import type { Engine } from '../../src/gpu/engine.js';
import { type Measure, type Sized, type TileMemory, Tuner } from '../../src/gpu/tuner.js';
import { Graph } from '../../src/graph/graph.js';
import { conv2d } from '../../src/graph/ops/conv2d.js';
import { relu } from '../../src/graph/ops/elementwise.js';
import { Program } from '../../src/graph/program.js';
import { add } from '../../src/kernels/elementwise.js';
import { matmul } from '../../src/kernels/matmul.js';
import { tilesFor } from '../../src/kernels/tiles.js';
import { openEngine } from '../../src/node.js';
import { noise } from '../support/numbers.js';

const SIZES = { a: 4 * 300 * 300, b: 4 * 300 * 300, y: 4 * 300 * 300 };
const PRODUCT: Sized = matmul({ m: 300, n: 300, k: 300 }, SIZES);
const SMALLER: Sized = matmul({ m: 300, n: 300, k: 200 }, SIZES);
const TILES = tilesFor(PRODUCT);

/** Only its name counts. */
const adapter = (description: string) =>
  ({ adapter: { vendor: '', architecture: '', device: '', description } }) as Engine;
const here = adapter('this driver');

function memory(): TileMemory & { readonly entries: Map<string, string> } {
  const entries = new Map<string, string>();
  return {
    entries,
    get: async (key) => entries.get(key),
    async set(key, value) {
      entries.set(key, value);
    },
  };
}

/** Measures these times, and counts how often. */
function clock(...times: readonly number[]) {
  const measured: Sized[] = [];
  const measure: Measure = async (_, kernel, tiles) => {
    measured.push(kernel);
    return tiles.map((_, i) => times[i] ?? 100);
  };
  return { measured, measure };
}

describe('a tuner', () => {
  it('takes the fastest tile', async () => {
    expect(await new Tuner(memory(), clock(10, 9, 3, 5).measure).tileOf(here, PRODUCT)).toEqual(TILES[2]);
  });

  it('stays with the fixed tile where another saves less than the spread', async () => {
    expect(await new Tuner(memory(), clock(10, 9.7, 11).measure).tileOf(here, PRODUCT)).toEqual(TILES[0]);
    expect(await new Tuner(memory(), clock(10, 9.4, 11).measure).tileOf(here, PRODUCT)).toEqual(TILES[1]);
  });

  it('measures again what failed, as on a device that was lost', async () => {
    let lost = true;
    const measure: Measure = async (_, __, tiles) => {
      if (lost) throw new Error('lost');
      return tiles.map((_, i) => (i === 1 ? 1 : 10));
    };
    const tuner = new Tuner(memory(), measure);
    await expect(tuner.tileOf(here, PRODUCT)).rejects.toThrow('lost');
    lost = false;
    expect(await tuner.tileOf(here, PRODUCT)).toEqual(TILES[1]);
  });

  it('does without a memory that throws, at once or later', async () => {
    const at = () => {
      throw new Error('closed');
    };
    const broken: TileMemory = { get: at, set: async () => at() };
    expect(await new Tuner(broken, clock(10, 9, 3).measure).tileOf(here, PRODUCT)).toEqual(TILES[2]);
  });

  it('has nothing to choose for a kernel without tiles', async () => {
    const { measured, measure } = clock();
    expect(await new Tuner(memory(), measure).tileOf(here, add(4, { a: 16, b: 16, y: 16 }))).toBeUndefined();
    expect(measured).toEqual([]);
  });

  it('measures once for an adapter and a shape, in this run and the next', async () => {
    const kept = memory();
    const { measured, measure } = clock(10, 5);
    const tuner = new Tuner(kept, measure);
    await Promise.all([tuner.tileOf(here, PRODUCT), tuner.tileOf(here, PRODUCT)]);
    expect(measured).toHaveLength(1);
    const next = new Tuner(kept, measure);
    expect(await next.tileOf(here, PRODUCT)).toEqual(TILES[1]);
    expect(measured).toHaveLength(1);
    await next.tileOf(here, SMALLER);
    expect(measured).toHaveLength(2);
    await next.tileOf(adapter('another driver'), PRODUCT);
    expect(measured).toHaveLength(3);
  });

  it('measures again what it cannot remember, or remembers of another version', async () => {
    const kept = memory();
    const { measured, measure } = clock(10, 5);
    await new Tuner(kept, measure).tileOf(here, PRODUCT);
    for (const key of kept.entries.keys()) kept.entries.set(key, '{"rows":3}');
    expect(await new Tuner(kept, measure).tileOf(here, PRODUCT)).toEqual(TILES[1]);
    expect(measured).toHaveLength(2);
    const broken = { get: () => Promise.reject(new Error('gone')), set: () => Promise.reject(new Error('full')) };
    expect(await new Tuner(broken, measure).tileOf(here, PRODUCT)).toEqual(TILES[1]);
    expect(measured).toHaveLength(3);
  });
});

describe('a program on an engine with a tuner', () => {
  async function outputsOf(tuner: Tuner | undefined) {
    const engine = await openEngine({ tuner });
    const graph = new Graph();
    const x = graph.input('x', [2, 6, 10, 8]);
    const w = graph.input('w', [3, 3, 8, 16]);
    const y = relu(conv2d(x, w, { stride: 1 }));
    const before = engine.counters.bytes;
    const shader = engine.traits.workgroupMemory ? 'conv2d_tiled' : 'conv2d';
    const program = await Program.compile(engine, graph, [y]);
    const bytes = engine.counters.bytes - before;
    program.write(x, noise(960, 1));
    program.write(w, noise(1152, 2));
    program.run();
    const [values] = await program.read(y);
    engine.destroy();
    return { values, bytes, shader, pipelines: engine.counters.pipelines };
  }

  it('computes the same bits with the tiles that it chose', async () => {
    const { measured, measure } = clock(10, 9, 1);
    const fixed = await outputsOf(undefined);
    const tuned = await outputsOf(new Tuner(memory(), measure));
    expect(measured.map(({ shader }) => shader)).toEqual([fixed.shader]);
    expect(measured[0]!.bindings).toEqual(expect.arrayContaining([960 * 4, 1152 * 4]));
    expect(tuned).toEqual(fixed);
  });

  it('measures on the device, and frees what it measured with', async () => {
    const kept = memory();
    const fixed = await outputsOf(undefined);
    const tuned = await outputsOf(new Tuner(kept));
    expect(kept.entries.size).toBe(1);
    expect(tuned.values).toEqual(fixed.values);
    expect(tuned.bytes).toBe(fixed.bytes);
    expect(tuned.pipelines).toBeGreaterThan(fixed.pipelines);
  });
});
