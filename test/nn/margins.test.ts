import { expect, it } from 'vitest';
import { Classifier } from '../../src/nn/classifier.js';
import { measureEnergies, proposeMargins } from '../../src/nn/margins.js';
import { engine } from '../support/gpu.js';
import { data, reference } from '../support/training.js';

const set = data.outliers!;

it('measures mean and standard deviation of the energies, over images at equal distances', async () => {
  const network = reference.network();
  const classifier = await Classifier.create(engine, network, { batch: 10 });
  const { logits } = await classifier.run(set);
  classifier.destroy();
  const energies = Array.from(
    { length: set.count },
    (_, i) => -Math.log(logits.subarray(10 * i, 10 * i + 10).reduce((sum, logit) => sum + Math.exp(logit), 0)),
  );
  const expectStatistics = (actual: { mean: number; std: number; count: number }, chosen: number[]) => {
    const mean = chosen.reduce((a, b) => a + b) / chosen.length;
    expect(actual.count).toBe(chosen.length);
    expect(actual.mean).toBeCloseTo(mean, 4);
    expect(actual.std).toBeCloseTo(Math.sqrt(chosen.reduce((sum, e) => sum + e * e, 0) / chosen.length - mean ** 2), 4);
  };
  expectStatistics(await measureEnergies(engine, network, set), energies);
  expectStatistics(
    await measureEnergies(engine, network, set, { limit: 10 }),
    energies.filter((_, i) => i % 3 === 0),
  );
});

it('refuses a limit that is no count, and energies that are not finite', async () => {
  const network = reference.network();
  await expect(measureEnergies(engine, network, set, { limit: 0 })).rejects.toThrow('limit of images is 0');
  const bias = network.state.get('fc.bias')!;
  const broken = new Map(network.state).set('fc.bias', { ...bias, data: bias.data.map(() => Number.NaN) });
  await expect(measureEnergies(engine, { ...network, state: broken }, set)).rejects.toThrow('not finite');
});

it('proposes the means where both kinds fit between them', () => {
  expect(proposeMargins({ mean: -20.004, std: 2 }, { mean: -6, std: 1 })).toMatchObject({ mIn: -20, mOut: -6 });
  expect(proposeMargins({ mean: -12, std: 2 }, { mean: -6, std: 1 })).toMatchObject({ mIn: -12, mOut: -6 });
});

it('pushes the margins apart around the middle where the means are too near, or reversed, and says so', () => {
  const near = proposeMargins({ mean: -10, std: 4 }, { mean: -5, std: 3 });
  expect(near).toMatchObject({ mIn: -14.5, mOut: -0.5 });
  expect(near.reason).toContain('only 5.00 nats apart');
  const reversed = proposeMargins({ mean: -4, std: 1 }, { mean: -8, std: 0.5 });
  expect(reversed).toMatchObject({ mIn: -7.5, mOut: -4.5 });
  expect(reversed.reason).toContain('do not have the higher mean');
  expect(proposeMargins({ mean: -4, std: 0 }, { mean: -4, std: 0 })).toMatchObject({ mIn: -4.5, mOut: -3.5 });
});
