import { type Engine, record, type Storage } from '../gpu/engine.js';
import type { Dispatch } from '../kernels/dispatch.js';
import { add } from '../kernels/elementwise.js';
import { matmul } from '../kernels/matmul.js';

const ADDENDS = 1000;
/** Matrices grow until they keep the adapter busy for this many milliseconds, or are as large as this. */
const BUSY = 50;
const LARGEST_SIDE = 2048;
const REPEATS = 16;

/** Whether the adapter adds two vectors as JavaScript does. */
export async function addIsRight(engine: Engine): Promise<boolean> {
  const a = Float32Array.from({ length: ADDENDS }, (_, i) => i / 4);
  const b = Float32Array.from({ length: ADDENDS }, (_, i) => 1000 - i);
  const y = engine.upload('sum', new Float32Array(ADDENDS));
  const dispatch = add(ADDENDS, { a: engine.upload('a', a), b: engine.upload('b', b), y });
  await run(engine, dispatch, 1);
  const [bytes] = await engine.read([y]);
  return new Float32Array(bytes, 0, ADDENDS).every((value, i) => value === a[i] + b[i]);
}

/** GFLOP/s of the project's own matrix product, to two figures: rough, but telling a GPU from a CPU. */
export async function matmulSpeed(engine: Engine): Promise<number> {
  for (let side = 128; ; side *= 2) {
    const matrix = (label: string) => engine.upload(label, new Float32Array(side * side).fill(1));
    const buffers = { a: matrix('a'), b: matrix('b'), y: matrix('product') };
    const dispatch = matmul({ m: side, n: side, k: side }, buffers, engine.traits);
    await run(engine, dispatch, 1);
    const began = performance.now();
    await run(engine, dispatch, REPEATS);
    const elapsed = performance.now() - began;
    if (elapsed >= BUSY || side === LARGEST_SIDE) {
      return Number(((2 * side ** 3 * REPEATS) / elapsed / 1e6).toPrecision(2));
    }
  }
}

async function run(engine: Engine, dispatch: Dispatch<Storage>, times: number): Promise<void> {
  const prepared = await engine.prepare(dispatch);
  const encoder = engine.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  record(
    pass,
    Array.from({ length: times }, () => prepared),
  );
  pass.end();
  engine.submit(encoder);
  await engine.finish();
}
