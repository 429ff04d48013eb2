import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { imageSetFromNpz, subset } from '../../src/data/image-set.js';
import { NORMALIZATIONS } from '../../src/data/normalization.js';
import { stream } from '../../src/data/random.js';
import { readStateDict } from '../../src/formats/state-dict.js';
import { Classifier } from '../../src/nn/classifier.js';
import { decodeNetwork } from '../../src/nn/network-file.js';
import { Calibrator } from '../../src/ood/calibrator.js';
import { energy } from '../../src/ood/scores.js';
import { engine } from '../support/gpu.js';

const shared = fileURLToPath(new URL('../../../shared/', import.meta.url));
const weights = join(shared, 'weights/wrn-16-1-cifar10.pth.tar');
const IMAGES = 2000;
const SPLITS = 20;

describe.skipIf(!existsSync(weights))(
  'on halves of CIFAR-10’s test images, with a published WRN-16-1 (../shared)',
  () => {
    let scores: Float64Array;
    beforeAll(async () => {
      const folder = mkdtempSync(join(tmpdir(), 'energate-halves-'));
      execFileSync(process.execPath, [join(shared, 'data/unpack.mjs'), folder, 'cifar10_test']);
      const set = imageSetFromNpz(new Uint8Array(readFileSync(join(folder, 'cifar10_test.npz'))), 'cifar10_test.npz');
      rmSync(folder, { recursive: true });
      const state = readStateDict(new Uint8Array(readFileSync(weights)), 'wrn-16-1');
      const classifier = await Classifier.create(engine, decodeNetwork(state, 'wrn-16-1', NORMALIZATIONS.none));
      const { logits } = await classifier.run(subset(set, 0, IMAGES));
      classifier.destroy();
      scores = energy(logits, 10).map((value) => -value);
    }, 300_000);

    it('a gate of one half accepts of the other what it predicted, as often as it says', () => {
      const random = stream(20, 'halves test', 'splits');
      const half = IMAGES / 2;
      let held = 0;
      let sum = 0;
      for (let split = 0; split < SPLITS; split++) {
        const shuffled = scores.slice();
        for (let i = shuffled.length - 1; i > 0; i--) {
          const j = Math.floor(random.uniform() * (i + 1));
          [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
        }
        const gate = new Calibrator(shuffled.subarray(0, half), { accept: 0.95 });
        const rate = shuffled.subarray(half).filter((score) => gate.accepts(score)).length / half;
        const { lower, upper } = gate.predict(half, 0.95);
        if (rate >= lower && rate <= upper) held++;
        sum += rate;
      }
      // Of 20 that hold with probability 0.95 each, fewer than 16 do in 0.3 % of cases.
      expect(held).toBeGreaterThanOrEqual(16);
      expect(Math.abs(sum / SPLITS - 0.95)).toBeLessThan(0.01);
    });
  },
);
