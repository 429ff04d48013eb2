import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { stream } from '../../src/data/random.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { atPrecision, decodeGate, encodeGate, type Gate } from '../../src/gate/gate-file.js';
import { Calibrator } from '../../src/ood/calibrator.js';
import { reference } from '../support/training.js';

const network = { ...reference.network(), classNames: Array.from('abcdefghij') };
const random = stream(5, 'gate file test', 'scores');
const scores = Float64Array.from({ length: 400 }, () => 10 * random.uniform());
const gate: Gate = { network, precision: 'float32', score: 'energy', accept: 0.95, calibration: { scores } };

describe('a gate file', () => {
  it('holds all of the gate', async () => {
    expect(await decodeGate(await encodeGate(gate), 'x')).toEqual({
      ...gate,
      temperature: undefined,
      epsilon: undefined,
      fit: undefined,
      calibration: { scores, labels: undefined },
    });
  });

  it('is safetensors whose metadata tell the threshold and what it was made from', async () => {
    const bytes = await encodeGate(gate);
    const { tensors, metadata } = readSafetensors(bytes, 'x');
    expect(tensors.get('network.fc.weight')).toMatchObject({ dtype: 'float32', shape: [10, 64] });
    expect(tensors.get('calibration.scores')!.data).toEqual(scores);
    expect(JSON.parse(metadata.class_names!)).toEqual(network.classNames);
    const calibrator = new Calibrator(scores, { accept: 0.95 });
    const { lower, upper } = calibrator.bounds();
    expect(JSON.parse(metadata.gate!)).toMatchObject({
      score: 'energy',
      accept: 0.95,
      n: 400,
      thresholds: [calibrator.threshold],
      acceptance_bounds_95: [[lower, upper]],
    });
    // As another tool would verify it.
    const text = Buffer.from(bytes).toString('latin1').replace(metadata.sha256!, '0'.repeat(64));
    expect(createHash('sha256').update(Buffer.from(text, 'latin1')).digest('hex')).toBe(metadata.sha256);
  });

  it('in float16 is half as large and holds the rounded weights', async () => {
    const rounded = atPrecision(network, 'float16');
    const bytes = await encodeGate({ ...gate, network: rounded, precision: 'float16' });
    expect(bytes.length).toBeLessThan(0.6 * (await encodeGate(gate)).length);
    const read = await decodeGate(bytes, 'x');
    expect(read.network.state).toEqual(rounded.state);
    expect(read.network.state).not.toEqual(network.state);
  });
});
