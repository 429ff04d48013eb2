/**
 * What overlapping gains: the same images of a file scored while the next are read (`Classifier.run`), and one after the other
 * (read, then upload, compute and read back). In turn, on one adapter, and the logits compared bit by bit:
 * `npx tsx bench/stream.ts [FILE]` writes the figures to FILE as JSON.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ImageSource } from '../src/data/image-set.js';
import { writeNpy } from '../src/formats/npy.js';
import { readStateDict } from '../src/formats/state-dict.js';
import { Classifier } from '../src/nn/classifier.js';
import { decodeNetwork } from '../src/nn/network-file.js';
import { writeFileAtomic } from '../src/node/files.js';
import { openEngine, readImageSet } from '../src/node.js';
import { driverOf } from './driver.js';
import { pixels } from './inputs.js';
import { spread } from './statistics.js';

const IMAGES = 1000;
const BATCH = 100;
const RUNS = 5;

const engine = await openEngine();
const weights = readFileSync(new URL('../weights/wrn-10-1-shapes.safetensors', import.meta.url));
const classifier = await Classifier.create(engine, decodeNetwork(readStateDict(weights, 'weights'), 'weights'), {
  batch: BATCH,
});

/** Read, then upload, compute and read back, batch by batch. @returns what each took, in milliseconds */
async function inTurn(source: ImageSource) {
  const logits: Float32Array[] = [];
  const took = { read: 0, compute: 0 };
  for (let start = 0; start < source.count; start += BATCH) {
    const begin = performance.now();
    const images = await source.read(start, BATCH);
    const middle = performance.now();
    const { height, width } = source;
    logits.push((await classifier.run({ name: 'batch', images, count: BATCH, height, width })).logits);
    took.read += middle - begin;
    took.compute += performance.now() - middle;
  }
  return { ...took, logits: Buffer.concat(logits.map(({ buffer }) => new Uint8Array(buffer as ArrayBuffer))) };
}

async function compare(name: string, source: ImageSource) {
  const times = { overlapped: [] as number[], in_turn: [] as number[], read: [] as number[], compute: [] as number[] };
  // The first round warms up.
  for (let run = 0; run <= RUNS; run++) {
    const begin = performance.now();
    const { logits } = await classifier.run(source);
    const overlapped = performance.now() - begin;
    const turn = await inTurn(source);
    if (!turn.logits.equals(new Uint8Array(logits.buffer as ArrayBuffer))) throw new Error(`${name}: logits differ`);
    if (run === 0) continue;
    times.overlapped.push(overlapped);
    times.in_turn.push(turn.read + turn.compute);
    times.read.push(turn.read);
    times.compute.push(turn.compute);
  }
  const [overlapped, one, read, compute] = [times.overlapped, times.in_turn, times.read, times.compute].map(spread);
  console.log(`${name}: in turn ${one!.ms_median.toFixed(0)} ms, overlapped ${overlapped!.ms_median.toFixed(0)} ms`);
  return {
    case: name,
    overlapped,
    in_turn: one!,
    read,
    compute,
    ratio: one!.ms_median / overlapped!.ms_median,
    read_share: read!.ms_median / one!.ms_median,
  };
}

const folder = mkdtempSync(join(tmpdir(), 'energate-bench-'));
try {
  const path = join(folder, 'images.npy');
  const data = pixels(IMAGES, 1);
  writeFileSync(path, writeNpy({ dtype: 'uint8', shape: [IMAGES, 32, 32, 3], data }));
  const file = (await readImageSet(path, { inMemory: 0 })) as ImageSource;
  const rows = [await compare('a local file', file)];
  // As slow as the device, as from a network: the most that overlapping can gain.
  const delay = (rows[0]!.in_turn.ms_median / IMAGES) * BATCH;
  const slow: ImageSource = {
    ...file,
    async read(start, count) {
      await new Promise((resolve) => setTimeout(resolve, delay));
      return file.read(start, count);
    },
  };
  rows.push(await compare(`reads delayed by ${delay.toFixed(0)} ms`, slow));
  const { description, device } = engine.adapter as { description: string; device?: string };
  const results = {
    adapter: device ? `${device}: ${description}` : description,
    driver: driverOf(),
    date: new Date().toISOString(),
    network: 'WRN-10-1',
    images: IMAGES,
    batch: BATCH,
    rows,
  };
  const [, , output] = process.argv;
  if (output) await writeFileAtomic(output, new TextEncoder().encode(`${JSON.stringify(results, null, 1)}\n`));
} finally {
  rmSync(folder, { recursive: true });
  classifier.destroy();
  engine.destroy();
}
