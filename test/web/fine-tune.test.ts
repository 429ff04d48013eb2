import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DataError, decodeNetwork, type Engine, type Gate, readSafetensors, syntheticImages } from '../../src/index.js';
import { type FineTuneOptions, fineTune } from '../../web/engine/fine-tune.js';

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
