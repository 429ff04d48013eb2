import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ImageSet } from '../data/image-set.js';
import { OOD_FAMILIES, syntheticImages, syntheticOod, syntheticOutliers } from '../data/synthetic/index.js';
import { DataError } from '../errors.js';

/** Seeds of the embedded sets. */
const SEED = 1;

/** The images that the network in weights/ was trained on. */
export const embeddedTraining = (): ImageSet => syntheticImages({ seed: SEED, count: 12_000, split: 'train' });

/** How the embedded network is fine-tuned: what it needs, and minutes on two cores without a GPU. */
export const FINETUNING = { steps: 80, batch: 32, outlierBatch: 64, lr: 0.003, mIn: -13, mOut: -3, dropout: 0 };

/** Margins to try on it. */
export const EMBEDDED_GRID = { mIn: [-17, -13, -9], mOut: [-5, -1] };

/** Images of the ten classes to choose margins on. */
export const embeddedValidation = (): ImageSet => syntheticImages({ seed: SEED, count: 500, split: 'validation' });

/** Images of kinds that no test family holds. */
export const embeddedOutliers = (): ImageSet => syntheticOutliers({ seed: SEED, count: 4000 });

/** What fine-tuning takes by default: in-distribution images and outliers. */
export const embeddedFinetuning = (): { inDistribution: ImageSet; outliers: ImageSet } => ({
  inDistribution: syntheticImages({ seed: SEED, count: 4000, split: 'train' }),
  outliers: embeddedOutliers(),
});

/** What is evaluated by default: test images, and one set of each out-of-distribution family. */
export const embeddedTest = (): { inDistribution: ImageSet; ood: readonly ImageSet[] } => ({
  inDistribution: syntheticImages({ seed: SEED, count: 1000, split: 'test' }),
  ood: OOD_FAMILIES.map((family) => syntheticOod(family, { seed: SEED, count: 200 })),
});

/** The network that comes with energate: a WRN-10-1 trained on the embedded set (weights/README.md says how). */
export function embeddedWeights(): string {
  const name = 'weights/wrn-10-1-shapes.safetensors';
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, name);
    if (existsSync(path)) return path;
    if (folder === dirname(folder))
      throw new DataError(`${name} is missing from this installation: install energate anew, or give --weights`);
  }
}
