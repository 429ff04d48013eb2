/**
 * What overlapping gains: the same images of a file scored, or trained on, while the next are read, and one after the other. In
 * turn, on one adapter, and the results compared bit by bit: `npx tsx bench/stream.ts [FILE]` writes the figures to FILE as JSON.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ImageSource } from '../src/data/image-set.js';
import { writeNpy } from '../src/formats/npy.js';
import { readStateDict } from '../src/formats/state-dict.js';
import { Classifier } from '../src/nn/classifier.js';
import { decodeNetwork, encodeNetwork } from '../src/nn/network-file.js';
import { Trainer } from '../src/nn/trainer.js';
import { writeFileAtomic } from '../src/node/files.js';
import { openEngine, readImageSet } from '../src/node.js';
import { driverOf } from './driver.js';
import { pixels } from './inputs.js';
import { spread } from './statistics.js';

const IMAGES = 1000;
const BATCH = 100;
const RUNS = 5;
/** More than one binding of 128 MiB holds: they stay in the file. */
const OUTLIERS = 45_000;

const engine = await openEngine();
const weights = readFileSync(new URL('../weights/wrn-10-1-shapes.safetensors', import.meta.url));
const network = decodeNetwork(readStateDict(weights, 'weights'), 'weights');
const classifier = await Classifier.create(engine, network, { batch: BATCH });
const labelled = {
  ...{ name: 'labelled', images: pixels(1000, 3), count: 1000, height: 32, width: 32 },
  labels: Int32Array.from({ length: 1000 }, (_, i) => i % 10),
};

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

/** Milliseconds of each way and of its parts, by name. */
type Times = Readonly<Record<string, number>>;

/** @param round does it both ways, and says how long each took */
async function measure(name: string, round: () => Promise<Times & { in_turn: number; overlapped: number }>) {
  await round(); // warms up
  const rounds: Awaited<ReturnType<typeof round>>[] = [];
  for (let run = 0; run < RUNS; run++) rounds.push(await round());
  const of = (part: string) => spread(rounds.map((times) => times[part]!));
  const parts = Object.fromEntries(Object.keys(rounds[0]!).map((part) => [part, of(part)]));
  const [one, overlapped] = [of('in_turn'), of('overlapped')];
  console.log(`${name}: in turn ${one.ms_median.toFixed(0)} ms, overlapped ${overlapped.ms_median.toFixed(0)} ms`);
  return { case: name, ...parts, in_turn: one, overlapped, ratio: one.ms_median / overlapped.ms_median };
}

const scoring = (name: string, source: ImageSource) =>
  measure(`scoring, ${name}`, async () => {
    const begin = performance.now();
    const { logits } = await classifier.run(source);
    const overlapped = performance.now() - begin;
    const turn = await inTurn(source);
    if (!turn.logits.equals(new Uint8Array(logits.buffer as ArrayBuffer))) throw new Error(`${name}: logits differ`);
    return { overlapped, in_turn: turn.read + turn.compute, read: turn.read, compute: turn.compute };
  });

/** Steps of a training round. */
const STEPS = 10;

const training = (name: string, outliers: ImageSource) =>
  measure(`training, ${name}`, async () => {
    let read = 0;
    const timed: ImageSource = {
      ...outliers,
      async gather(indices) {
        // Nothing is under way on the device while it reads.
        await engine.submitted();
        const begin = performance.now();
        const bytes = await outliers.gather(indices);
        read += performance.now() - begin;
        return bytes;
      },
    };
    const [one, overlapped] = [await train(timed), await train(outliers)];
    if (!one.state.equals(overlapped.state)) throw new Error(`${name}: networks differ`);
    return { overlapped: overlapped.ms, in_turn: one.ms, read, compute: one.ms - read };
  });

async function train(outliers: ImageSource) {
  const options = {
    ...{ batch: 16, outlierBatch: 32, steps: STEPS, learningRate: 1e-3, dropout: 0, seed: 1 },
    ...{ augment: true, shuffle: true, momentum: 0.9, weightDecay: 5e-4 },
    regulariser: { kind: 'energy', mIn: -8, mOut: -2, lambda: 0.1 },
  } as const;
  const trainer = await Trainer.create(engine, network, { inDistribution: labelled, outliers }, options);
  await engine.submitted();
  const begin = performance.now();
  await trainer.run(() => {});
  const ms = performance.now() - begin;
  const state = Buffer.from(encodeNetwork(await trainer.network()));
  trainer.destroy();
  return { ms, state };
}

/** Reads that take `ms` longer, as from a network. */
function slowed(source: ImageSource, ms: number): ImageSource {
  const wait = () => new Promise((resolve) => setTimeout(resolve, ms));
  return {
    ...source,
    read: (start, count) => wait().then(() => source.read(start, count)),
    gather: (indices) => wait().then(() => source.gather(indices)),
  };
}

const folder = mkdtempSync(join(tmpdir(), 'energate-bench-'));
try {
  const path = join(folder, 'images.npy');
  const data = pixels(IMAGES, 1);
  writeFileSync(path, writeNpy({ dtype: 'uint8', shape: [IMAGES, 32, 32, 3], data }));
  const file = (await readImageSet(path, { inMemory: 0 })) as ImageSource;
  const large = join(folder, 'outliers.npy');
  const block = pixels(IMAGES, 2);
  const many = new Uint8Array(OUTLIERS * 3072);
  for (let at = 0; at < many.length; at += block.length) many.set(block, at);
  writeFileSync(large, writeNpy({ dtype: 'uint8', shape: [OUTLIERS, 32, 32, 3], data: many }));
  const outliers = (await readImageSet(large, { inMemory: 0 })) as ImageSource;
  // As slow as the device: the most that overlapping can gain.
  const rows = [await scoring('a local file', file)];
  const perBatch = (rows[0]!.in_turn.ms_median / IMAGES) * BATCH;
  rows.push(await scoring(`reads delayed by ${perBatch.toFixed(0)} ms`, slowed(file, perBatch)));
  rows.push(await training('a local file', outliers));
  const perStep = rows[2]!.in_turn.ms_median / STEPS;
  rows.push(await training(`reads delayed by ${perStep.toFixed(0)} ms`, slowed(outliers, perStep)));
  const { description, device } = engine.adapter as { description: string; device?: string };
  const results = {
    adapter: device ? `${device}: ${description}` : description,
    driver: driverOf(engine.adapter),
    date: new Date().toISOString(),
    network: 'WRN-10-1',
    scoring: { images: IMAGES, batch: BATCH },
    training: { steps: STEPS, batch: 16, outlier_batch: 32 },
    rows,
  };
  const [, , output] = process.argv;
  if (output) await writeFileAtomic(output, new TextEncoder().encode(`${JSON.stringify(results, null, 1)}\n`));
} finally {
  rmSync(folder, { recursive: true });
  classifier.destroy();
  engine.destroy();
}
