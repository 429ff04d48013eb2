import { describe, expect, it } from 'vitest';
import type { ImageSet } from '../../src/data/image-set.js';
import { DataError, DeviceError, UsageError } from '../../src/errors.js';
import { Classifier } from '../../src/nn/classifier.js';
import { scoreSets } from '../../src/nn/scorer.js';
import { energy } from '../../src/ood/scores.js';
import { engine } from '../support/gpu.js';
import { expectClose } from '../support/numbers.js';
import { data, reference } from '../support/training.js';

const network = reference.network();
const { inDistribution } = data as { inDistribution: ImageSet };
/** The upper left quarters of images. */
const quarters: ImageSet = {
  ...{ name: 'quarters', count: inDistribution.count, height: 16, width: 16 },
  images: inDistribution.images.filter((_, at) => Math.floor(at / 96) % 32 < 16 && at % 96 < 48),
};

describe('images of another size', () => {
  it('are refused by a classifier of 32 x 32', async () => {
    const classifier = await Classifier.create(engine, network, { batch: 18 });
    await expect(classifier.run(quarters)).rejects.toThrow(DataError);
    await expect(classifier.run(quarters)).rejects.toThrow(
      'quarters has images of 16 x 16 pixels, but the classifier was made for 32 x 32',
    );
    classifier.destroy();
  });

  it('get the scores of a classifier of their own size', async () => {
    const classifier = await Classifier.create(engine, network, { batch: 18, height: 16, width: 16 });
    const { logits } = await classifier.run(quarters);
    classifier.destroy();
    const [both, one] = await scoreSets(engine, network, [inDistribution, quarters], ['energy']);
    expectClose(
      one!.scores.get('energy')!,
      energy(logits, 10).map((value) => -value),
      1e-4,
    );
    expect(both!.logits).toHaveLength(180);
  });
});

it.each([0, -1, 2.5, Number.NaN])('a batch of %d is refused', async (batch) => {
  await expect(Classifier.create(engine, network, { batch })).rejects.toThrow(UsageError);
  await expect(Classifier.create(engine, network, { batch })).rejects.toThrow(
    `batch is ${batch}, but must be a whole number of 1 or more`,
  );
});

it('one that is destroyed while it is asked refuses to go on, and leaves its engine to others', async () => {
  const classifier = await Classifier.create(engine, network, { batch: 4 });
  const other = await Classifier.create(engine, network, { batch: 4 });
  const asked = classifier.run(inDistribution);
  const next = classifier.run(inDistribution);
  classifier.destroy();
  await expect(asked).rejects.toThrow(DeviceError);
  await expect(next).rejects.toThrow('this was destroyed, and its GPU memory freed: make it again');
  expect((await other.run(inDistribution)).logits).toHaveLength(180);
  other.destroy();
});

it('a buffer that does not hold the images, or cannot be copied, is refused before the GPU is asked', async () => {
  const classifier = await Classifier.create(engine, network, { batch: 4 });
  const [buffer, unreadable] = [0x4, 0x8].map((usage) => engine.device.createBuffer({ size: 2 * 3072, usage }));
  await expect(classifier.runOnDevice({ buffer: buffer!, count: 3 })).rejects.toThrow(DataError);
  await expect(classifier.runOnDevice({ buffer: buffer!, offset: 2, count: 1 })).rejects.toThrow(DataError);
  await expect(classifier.runOnDevice({ buffer: unreadable!, count: 2 })).rejects.toThrow(/GPUBufferUsage\.COPY_SRC/);
  await engine.finish();
  classifier.destroy();
});
