import { beforeAll, describe, expect, it, vi } from 'vitest';
import { calibrateGate } from '../../src/gate/calibrate.js';
import { type Decision, Detector } from '../../src/gate/detector.js';
import type { Gate } from '../../src/gate/gate.js';
import { encodeGate } from '../../src/gate/gate-file.js';
import { fitPicture, type Picture } from '../../src/gate/resize.js';
import { fitScores, scoreSets } from '../../src/nn/scorer.js';
import { engine } from '../support/gpu.js';
import { expectClose } from '../support/numbers.js';
import { data, reference } from '../support/training.js';
import { rgbaTexture } from './support/device.js';
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
    // Detectors here take as many images a run as calibration does, for the pipelines are then the same.
    gate = await calibrateGate(engine, network, inDistribution, { accept: 0.8 });
    detector = await Detector.load(engine, await encodeGate(gate), { batch: 100 });
    decisions = await detector.check(inDistribution);
  }, 300_000);

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

  it('takes bytes as they are when it is asked, of a Buffer, too', async () => {
    const bytes = Buffer.from(inDistribution.images);
    const asked = detector.check(bytes);
    bytes.fill(0);
    expect(await asked).toEqual(decisions);
  });

  it('takes textures of any size, alone and among pictures, as they were when it was asked', async () => {
    const small = { data: image(3), width: 32, height: 32 };
    const large = formulaPicture(100, 40);
    const texture = rgbaTexture(engine.device, large, 'rgba8unorm');
    const bytes = image(5);
    const asked = [detector.check([texture, small]), detector.check(texture), detector.check(bytes)];
    // All that was given changes before the first answer.
    engine.device.queue.writeTexture({ texture }, new Uint8Array(40 * 400), { bytesPerRow: 400 }, [100, 40]);
    bytes.fill(0);
    const [expected] = await detector.check(fitPicture(large, 32));
    expect(await Promise.all(asked)).toEqual([[expected, decisions[3]], [expected], [decisions[5]]]);
    texture.destroy();
  });

  it('takes what a canvas can draw, at its own size', async () => {
    const large = formulaPicture(100, 40);
    class FakeCanvas {
      getContext(kind: string, { alpha }: { alpha: boolean }) {
        expect([kind, alpha]).toEqual(['2d', false]);
        const drawn: unknown[] = [];
        return {
          drawImage: (...args: unknown[]) => void drawn.push(...args),
          getImageData: (...rectangle: number[]) => {
            const [{ picture }, ...place] = drawn as [{ picture: Picture }, ...number[]];
            const { data, width, height } = picture;
            expect([place, rectangle]).toEqual([
              [0, 0, width, height],
              [0, 0, width, height],
            ]);
            const rgba = (_: unknown, i: number) => (i % 4 === 3 ? 255 : data[Math.floor(i / 4) * 3 + (i % 4)]!);
            return { data: Uint8ClampedArray.from({ length: width * height * 4 }, rgba), width, height };
          },
        };
      }
    }
    vi.stubGlobal('OffscreenCanvas', FakeCanvas);
    const picture = large;
    const sources = [
      { picture, width: 100, height: 40 },
      { picture, videoWidth: 100, videoHeight: 40, width: 1, height: 1 },
      { picture, naturalWidth: 100, naturalHeight: 40, width: 1, height: 1 },
      { picture, displayWidth: 100, displayHeight: 40, codedWidth: 112 },
    ] as unknown as ImageBitmap[];
    const [expected] = await detector.check(large);
    expect(await detector.check(sources)).toEqual([expected, expected, expected, expected]);
    const empty = { videoWidth: 0, videoHeight: 0 } as unknown as HTMLVideoElement;
    await expect(detector.check(empty)).rejects.toThrow('the Object has no pixels; wait until it is loaded');
    vi.unstubAllGlobals();
  });

  it('answers each of several questions asked at once', async () => {
    const all = await Promise.all(Array.from({ length: 6 }, (_, i) => detector.check(image(i))));
    expect(all.flat()).toEqual(decisions.slice(0, 6));
  });

  it('moves its threshold', async () => {
    const moved = await Detector.of(engine, gate, { batch: 100 });
    moved.accept(0.5);
    expect((await moved.check(inDistribution)).filter(({ accepted }) => accepted)).toHaveLength(10);
    expect(() => moved.accept(0.99)).toThrow('18 calibration scores are too few to accept 99 %; give at least 99');
    moved.destroy();
  });

  it('with a threshold a class decides by that of the class it names', async () => {
    // Of each class four scores, 0 to 3 thousandths below one of its own near the middle.
    const middle = decisions.map(({ score }) => score).toSorted((a, b) => a - b)[9]!;
    const scoreOf = (k: number, i: number) => middle + (k - i) / 1000;
    const scores = Float64Array.from({ length: 40 }, (_, at) => scoreOf(at % 10, Math.floor(at / 10)));
    const labels = Int32Array.from({ length: 40 }, (_, at) => at % 10);
    const classwise: Gate = { ...gate, accept: 0.6, calibration: { scores, labels } };
    const own = await Detector.load(engine, await encodeGate(classwise), { batch: 100 });
    // floor(0.4 · 5) = 2: the second smallest.
    expect(own.thresholds).toEqual(Array.from({ length: 10 }, (_, k) => scoreOf(k, 2)));
    const answers = await own.check(inDistribution);
    for (const [n, answer] of answers.entries()) {
      const { label, score } = decisions[n]!;
      const notMore = [0, 1, 2, 3].filter((i) => scoreOf(label, i) <= score).length;
      expect(answer).toEqual({ ...decisions[n], accepted: score >= scoreOf(label, 2), pValue: (1 + notMore) / 5 });
    }
    expect(new Set(answers.map(({ accepted }) => accepted)).size).toBe(2);
    own.destroy();
  });

  it('takes the input step of a score that has one, and its fit', async () => {
    const training = { ...inDistribution, labels: Int32Array.from({ length: 18 }, (_, i) => i % 10) };
    const fits = await fitScores(engine, network, training, ['mahalanobis']);
    const options = { score: 'mahalanobis', epsilon: 0.01, fits };
    const [expected] = await scoreSets(engine, network, [inDistribution], ['mahalanobis'], options);
    const calibrated = await calibrateGate(engine, network, inDistribution, { ...options, accept: 0.8 });
    const own = await Detector.load(engine, await encodeGate(calibrated), { batch: 50 });
    const answers = await own.check(inDistribution);
    expectClose(
      answers.map(({ score }) => score),
      expected!.scores.get('mahalanobis')!,
      1e-4,
    );
    // The energy is that of the image before the step.
    for (const [n, { energy }] of answers.entries()) expect(energy).toBeCloseTo(decisions[n]!.energy, 3);
    own.destroy();
  });

  it('has no answer to no question', async () => {
    expect(await detector.check([])).toEqual([]);
    expect(await detector.check(new Uint8Array())).toEqual([]);
  });

  it('refuses bytes that are no images', async () => {
    await expect(detector.check(new Uint8Array(3073))).rejects.toThrow(
      '3073 bytes are not whole images of 32 x 32 x 3',
    );
    const odd = { name: 'mine', images: new Uint8Array(48), count: 1, height: 4, width: 4 };
    await expect(detector.check(odd)).rejects.toThrow('mine is of 4 x 4; the gate takes sets of 32 x 32');
    // The rest would be decided by pictures of an earlier call.
    const short = { name: 'mine', images: new Uint8Array(3072), count: 3, height: 32, width: 32 };
    await expect(detector.check(short)).rejects.toThrow(
      'mine gives 3072 bytes for 3 images of 32 x 32 RGB pixels, which take 9216',
    );
  });
});
