import type { Dispatch } from '../kernels/dispatch.js';
import { SHADERS } from '../kernels/shaders.js';
import { type Tile, tile, tilesFor } from '../kernels/tiles.js';
import { Buffers } from './buffers.js';
import { type Engine, record } from './engine.js';

/** Where a tuner's findings stay from one run to the next. */
export interface TileMemory {
  get(key: string): Promise<string | undefined>;
  set(key: string, value: string): Promise<void>;
}

/** A kernel with the bytes of each of its buffers. */
export type Sized = Dispatch<number>;

/** The time that a kernel takes with each of some tiles, in milliseconds. */
export type Measure = (engine: Engine, kernel: Sized, tiles: readonly Tile[]) => Promise<readonly number[]>;

/** What another tile than the fixed one must save at least: less is within the spread. */
const LEAST_GAIN = 0.05;

/**
 * Finds the fastest tile of each kernel by measuring it, once for an adapter, driver and shape. Results are the same bits
 * whatever it finds; without a tuner every device takes the fixed tiles.
 */
export class Tuner {
  private readonly memory: TileMemory;
  private readonly measure: Measure;
  private readonly found = new Map<string, Promise<Tile>>();

  /** @param memory of findings; what it cannot keep, or cannot give, is measured again */
  constructor(memory: TileMemory, measure: Measure = measureTiles) {
    this.memory = memory;
    this.measure = measure;
  }

  /** This kernel's tile on the engine's device; undefined for a kernel that has no choice. */
  async tileOf(engine: Engine, kernel: Sized): Promise<Tile | undefined> {
    const tiles = tilesFor(kernel);
    if (tiles.length < 2) return undefined;
    const key = keyOf(engine, kernel);
    const known = this.found.get(key);
    if (known) return known;
    const finding = this.find(engine, kernel, tiles, key);
    this.found.set(key, finding);
    // What failed, as on a device that was lost, is tried again.
    finding.catch(() => this.found.delete(key));
    return finding;
  }

  private async find(engine: Engine, kernel: Sized, tiles: readonly Tile[], key: string): Promise<Tile> {
    const remembered = await orNothing(() => this.memory.get(key));
    const same = tiles.find((candidate) => JSON.stringify(candidate) === remembered);
    if (same) return same;
    const times = await this.measure(engine, kernel, tiles);
    const best = times.indexOf(Math.min(...times));
    const chosen = tiles[times[best]! <= times[0]! * (1 - LEAST_GAIN) ? best : 0]!;
    await orNothing(() => this.memory.set(key, JSON.stringify(chosen)));
    return chosen;
  }
}

/** What a memory gives; nothing where it throws, at once or later. */
async function orNothing<T>(of: () => Promise<T>): Promise<T | undefined> {
  try {
    return await of();
  } catch {
    return undefined;
  }
}

/** All that a finding depends on, as far as the browser tells it. */
function keyOf({ adapter }: Engine, { shader, constants, uniforms }: Sized): string {
  const { vendor, architecture, device, description } = adapter;
  return JSON.stringify([
    vendor,
    architecture,
    device,
    description,
    shader,
    hash(SHADERS[shader]),
    constants,
    uniforms,
  ]);
}

/** FNV-1a, 32 bits: a kernel that was written anew is measured anew. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/** Long enough that what surrounds a run does not count, in milliseconds. A software adapter's end is known about a millisecond late. */
const SAMPLE = 20;
const SOFTWARE_SAMPLE = 100;
const MOST_RUNS = 100;
const ROUNDS = 5;

/** Each tile's best of five samples, in turn, on zeros. */
async function measureTiles(engine: Engine, kernel: Sized, tiles: readonly Tile[]): Promise<number[]> {
  const buffers = new Buffers(engine);
  try {
    const bindings = kernel.bindings.map((size) => {
      const buffer = buffers.create(`${kernel.shader}, to be timed`, size);
      return { buffer, offset: 0, size: buffer.size };
    });
    const prepared = tiles.map((choice) => engine.prepare(tile({ ...kernel, bindings }, choice)));
    // Only the fixed tile has to fit the device.
    const dispatches = await Promise.all(prepared.map((of, i) => (i === 0 ? of : of.catch(() => undefined))));
    const possible = [...tiles.keys()].filter((choice) => dispatches[choice]);
    const time = async (choice: number, runs: number) => {
      const encoder = engine.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      record(pass, Array(runs).fill(dispatches[choice]!));
      pass.end();
      const start = performance.now();
      engine.submit(encoder);
      await engine.finish();
      return (performance.now() - start) / runs;
    };
    // The first run of a kernel may finish compiling it.
    for (const choice of possible) await time(choice, 1);
    const sample = engine.adapter.software ? SOFTWARE_SAMPLE : SAMPLE;
    const runs = Math.max(1, Math.min(MOST_RUNS, Math.round(sample / (await time(0, 1)))));
    const best = tiles.map(() => Number.POSITIVE_INFINITY);
    for (let round = 0; round < ROUNDS; round++) {
      for (const choice of possible) best[choice] = Math.min(best[choice]!, await time(choice, runs));
    }
    return best;
  } finally {
    buffers.destroy();
  }
}
