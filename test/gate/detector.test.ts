import { beforeAll, describe, expect, it } from 'vitest';
import { calibrateGate } from '../../src/gate/calibrate.js';
import { type Decision, Detector } from '../../src/gate/detector.js';
import type { Gate } from '../../src/gate/gate.js';
import { encodeGate } from '../../src/gate/gate-file.js';
import { fitPicture } from '../../src/gate/resize.js';
import { engine } from '../support/gpu.js';
import { data, reference } from '../support/training.js';
import { formulaPicture } from './support/pictures.js';

const network = { ...reference.network(), classNames: Array.from('abcdefghij') };
const { inDistribution } = data;
const imageBytes = 32 * 32 * 3;
const image = (i: number) => inDistribution.images.slice(i * imageBytes, (i + 1) * imageBytes);

describe('Detector', () => {
  let gate: Gate;
  let detector: Detector;
  let decisions: Decision[];
  beforeAll(async () => {
    gate = await calibrateGate(engine, network, inDistribution, { accept: 0.8 });
    detector = await Detector.load(engine, await encodeGate(gate), { batch: 16 });
    decisions = await detector.check(inDistribution);
  });

  it('says of each image what PyTorch’s logits and the definitions give', () => {
    const logits = reference.array('eval_logits_before').data;
    const rows = Array.from({ length: inDistribution.count }, (_, n) => Array.from(logits.slice(10 * n, 10 * n + 10)));
    const energies = rows.map((row) => -Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0)));
    // Of 18 scores, floor(0.2 · 19) = 3: the third smallest, so the third largest energy.
    const threshold = energies.toSorted((a, b) => b - a)[2]!;
    expect(detector.thresholds).toHaveLength(1);
    expect(detector.thresholds[0]).toBeCloseTo(-threshold, 3);
    expect(decisions).toHaveLength(18);
    for (const [n, decision] of decisions.entries()) {
      const label = rows[n]!.indexOf(Math.max(...rows[n]!));
      const notLess = energies.filter((e) => e >= energies[n]!).length;
      expect(decision).toEqual({
        accepted: energies[n]! <= threshold,
        label,
        className: network.classNames[label],
        energy: expect.closeTo(energies[n]!, 3),
        score: -decision.energy,
        pValue: (1 + notLess) / 19,
      });
    }
    expect(decisions.filter(({ accepted }) => accepted)).toHaveLength(16);
  });

  it('takes bytes, pictures of any size and bytes on the device alike', async () => {
    expect(await detector.check(inDistribution.images)).toEqual(decisions);
    const pictures = [1, 4].map((i) => ({ data: image(i), width: 32, height: 32 }));
    expect(await detector.check(pictures)).toEqual([decisions[1], decisions[4]]);
    expect(await detector.check(pictures[1]!)).toEqual([decisions[4]]);
    const large = formulaPicture(100, 40);
    expect(await detector.check(large)).toEqual(await detector.check(fitPicture(large, 32)));
    const { buffer } = engine.upload('host', inDistribution.images);
    expect(await detector.check({ buffer, offset: 2 * imageBytes, count: 12 })).toEqual(decisions.slice(2, 14));
    engine.destroyBuffer(buffer);
  });

  it('answers each of several questions asked at once', async () => {
    const all = await Promise.all(Array.from({ length: 18 }, (_, i) => detector.check(image(i))));
    expect(all.flat()).toEqual(decisions);
  });

  it('moves its threshold', async () => {
    const moved = await Detector.of(engine, gate, { batch: 16 });
    moved.accept(0.5);
    expect((await moved.check(inDistribution)).filter(({ accepted }) => accepted)).toHaveLength(10);
    expect(() => moved.accept(0.99)).toThrow('18 calibration scores are too few to accept 99 %; give at least 99');
    moved.destroy();
  });

  it('refuses bytes that are no images', async () => {
    await expect(detector.check(new Uint8Array(3073))).rejects.toThrow(
      '3073 bytes are not whole images of 32 x 32 x 3',
    );
    const odd = { name: 'mine', images: new Uint8Array(48), count: 1, height: 4, width: 4 };
    await expect(detector.check(odd)).rejects.toThrow('mine is of 4 x 4; the gate takes sets of 32 x 32');
  });
});
