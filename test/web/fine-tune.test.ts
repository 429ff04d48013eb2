import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  DataError,
  decodeNetwork,
  type Engine,
  type Gate,
  type ImageSet,
  readSafetensors,
  syntheticImages,
} from '../../src/index.js';
import { dataOf, type FineTuneEvent, type FineTuneOptions, fineTune } from '../../web/engine/fine-tune.js';

const weights = readFileSync(new URL('../../weights/wrn-10-1-shapes.safetensors', import.meta.url));
const gate: Gate = {
  network: decodeNetwork(readSafetensors(weights, 'weights'), 'weights'),
  precision: 'float32',
  score: 'energy',
  accept: 0.95,
  calibration: { scores: Float64Array.from({ length: 99 }, (_, i) => i / 10) },
};
const OPTIONS: FineTuneOptions = { steps: 1, batch: 4, outlierBatch: 4, learningRate: 0.003, accept: 0.95 };
/** What is refused is refused before anything is computed. */
const engine = { adapter: { software: true } } as Engine;

const tune = (options: Partial<FineTuneOptions>) =>
  fineTune(engine, gate, { ...OPTIONS, ...options }, () => {}, new AbortController().signal);

describe("the page's fine-tuning, before it begins", () => {
  it('refuses in-distribution images without labels', async () => {
    const { labels: _, ...unlabelled } = syntheticImages({ seed: 1, count: 200, split: 'train' });
    const refused = tune({ inDistribution: { ...unlabelled, name: 'mine' } });
    await expect(refused).rejects.toThrow(DataError);
    await expect(refused).rejects.toThrow(/^mine has no labels/);
  });

  it('refuses images of which a fifth is too few for the acceptance rate', async () => {
    // 95 of 100 needs 19 to calibrate on, a fifth of 95.
    const inDistribution = syntheticImages({ seed: 1, count: 90, split: 'train' });
    await expect(tune({ inDistribution })).rejects.toThrow(/^18 calibration scores are too few.*at least 19$/);
  });
});

it("the page's fine-tuning computes nothing where it is stopped while the images are drawn", async () => {
  const stop = new AbortController();
  const events: FineTuneEvent[] = [];
  // As the worker hears of it: once drawing lets something in.
  setTimeout(() => stop.abort());
  expect(await fineTune(engine, gate, OPTIONS, (event) => events.push(event), stop.signal)).toBeUndefined();
  expect(events).toEqual([{ phase: 'drawing' }]);
});

describe("the outliers of the page's fine-tuning", () => {
  /** Each image is of one value, its number. */
  const numbered = (count: number): ImageSet => ({
    name: 'mine',
    images: Uint8Array.from({ length: 3072 * count }, (_, i) => Math.floor(i / 3072)),
    count,
    height: 32,
    width: 32,
  });
  const numbersOf = ({ images, count }: ImageSet) => Array.from({ length: count }, (_, k) => images[3072 * k]!);
  const counts = { probe: 16, calibration: 20 };

  it('are watched by others than are trained with, where there are enough of one’s own', async () => {
    const { training, watched } = await dataOf({ ...OPTIONS, outliers: numbered(50) }, counts);
    expect(watched.heldOut).toBe(true);
    const [trained, seen] = [numbersOf(training.outliers), numbersOf(watched.outliers)];
    expect(seen).toHaveLength(10);
    expect([...trained, ...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, k) => k));
  });

  it('are all trained with, and said to be, where they are few', async () => {
    const { training, watched } = await dataOf({ ...OPTIONS, outliers: numbered(12) }, counts);
    expect(watched.heldOut).toBe(false);
    expect(numbersOf(training.outliers)).toHaveLength(12);
    expect(numbersOf(watched.outliers)).toHaveLength(12);
  });

  it('are watched by others where they are embedded', async () => {
    const { training, watched } = await dataOf({ ...OPTIONS, steps: 4 }, counts);
    expect(watched.heldOut).toBe(true);
    const trained = new Set(imagesOf(training.outliers));
    expect(imagesOf(watched.outliers).filter((image) => trained.has(image))).toEqual([]);
  });

  const imagesOf = ({ images, count }: ImageSet) =>
    Array.from({ length: count }, (_, k) => images.subarray(3072 * k, 3072 * (k + 1)).join());
});
