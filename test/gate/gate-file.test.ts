import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { stream } from '../../src/data/random.js';
import { DataError, UsageError } from '../../src/errors.js';
import type { NdArray } from '../../src/formats/array.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { atPrecision, type Gate } from '../../src/gate/gate.js';
import { decodeGate, encodeGate } from '../../src/gate/gate-file.js';
import { Calibrator } from '../../src/ood/calibrator.js';
import { findScore, fitArrays } from '../../src/ood/scores.js';
import { reference } from '../support/training.js';

const network = { ...reference.network(), classNames: Array.from('abcdefghij') };
const random = stream(5, 'gate file test', 'scores');
const draws = (count: number) => Float64Array.from({ length: count }, () => 10 * random.uniform());
const scores = draws(400);
const gate: Gate = { network, precision: 'float32', score: 'energy', accept: 0.95, calibration: { scores } };
/** One with all that a gate may have: float16, a fitted score, an input step, a threshold a class. */
const features = Float32Array.from(draws(30 * 64));
const fit = await fitArrays(findScore('mahalanobis'), {
  ...{
    logits: new Float32Array(300),
    classes: 10,
    features,
    labels: Int32Array.from({ length: 30 }, (_, i) => i % 10),
  },
  head: { weight: new Float32Array(640), bias: new Float32Array(10) },
});
const full: Gate = {
  network: atPrecision(network, 'float16'),
  ...{ precision: 'float16', score: 'mahalanobis', temperature: 2, epsilon: 0.01, accept: 0.9, fit },
  calibration: { scores, labels: Int32Array.from({ length: 400 }, (_, i) => i % 10) },
};
const bytes = await encodeGate(full);

/** The digest as docs/gate-file.md defines it. */
function digestOf(file: Uint8Array, digest: string): string {
  const text = Buffer.from(file).toString('latin1').replace(digest, '0'.repeat(64));
  return createHash('sha256').update(Buffer.from(text, 'latin1')).digest('hex');
}

/** A file of these parts whose digest fits, as somebody else could make it. */
function sealed(tensors: ReadonlyMap<string, NdArray>, metadata: Readonly<Record<string, string>>): Uint8Array {
  const blank = writeSafetensors(tensors, { ...metadata, sha256: '0'.repeat(64) });
  return writeSafetensors(tensors, { ...metadata, sha256: createHash('sha256').update(blank).digest('hex') });
}

describe('a gate file', () => {
  it('holds all of the gate', async () => {
    expect(await decodeGate(bytes, 'x')).toEqual(full);
    const { calibration, ...rest } = await decodeGate(await encodeGate(gate), 'x');
    expect({ ...rest, calibration: { scores: calibration.scores } }).toEqual({
      ...gate,
      ...{ temperature: undefined, epsilon: undefined, fit: undefined },
    });
    expect(calibration.labels).toBeUndefined();
  });

  it('is safetensors whose metadata tell the threshold and what it was made from', async () => {
    const file = await encodeGate(gate);
    const { tensors, metadata } = readSafetensors(file, 'x');
    expect(tensors.get('network.fc.weight')).toMatchObject({ dtype: 'float32', shape: [10, 64] });
    expect(tensors.get('calibration.scores')!.data).toEqual(scores);
    expect(JSON.parse(metadata.class_names!)).toEqual(network.classNames);
    const calibrator = new Calibrator(scores, { accept: 0.95 });
    const { lower, upper } = calibrator.bounds();
    expect(JSON.parse(metadata.gate!)).toMatchObject({
      ...{ score: 'energy', accept: 0.95, n: 400 },
      thresholds: [calibrator.threshold],
      acceptance_bounds_95: [[lower, upper]],
    });
    expect(digestOf(file, metadata.sha256!)).toBe(metadata.sha256);
  });

  it('in float16 is half as large, and holds the weights that it was calibrated with', async () => {
    const file = await encodeGate({ ...gate, network: full.network, precision: 'float16' });
    expect(file.length).toBeLessThan(0.6 * (await encodeGate(gate)).length);
    expect((await decodeGate(file, 'x')).network.state).toEqual(full.network.state);
    expect(full.network.state).not.toEqual(network.state);
    await expect(encodeGate({ ...gate, precision: 'float16' })).rejects.toThrow(UsageError);
    const large = new Map(network.state).set('fc.weight', { shape: [10, 64], data: new Float32Array(640).fill(1e6) });
    expect(() => atPrecision({ ...network, state: large }, 'float16')).toThrow(
      'fc.weight has weights past 65504; keep float32',
    );
  });

  it('leaves the bytes that it is read from alone, and keeps none of them', async () => {
    // What Node reads is a Buffer, whose slice shares its memory.
    const file = Buffer.from(bytes);
    const read = await decodeGate(file, 'x');
    expect(new Uint8Array(file)).toEqual(bytes);
    expect(await decodeGate(file, 'x')).toEqual(full);
    file.fill(0);
    expect(read).toEqual(full);
  });

  it('does not mind in which order the network was described', async () => {
    const { depth, width, classes } = network.config;
    const other = { ...gate, network: { ...network, config: { classes, width, depth } } };
    expect((await decodeGate(await encodeGate(other), 'x')).network.config).toEqual({ depth, width, classes });
  });

  it('names classes in printable characters', async () => {
    const names = ['a\nb', '\u001b[31mc', 'd\u200de', ...Array.from('fghijkl')];
    const { network: read } = await decodeGate(
      await encodeGate({ ...gate, network: { ...network, classNames: names } }),
      'x',
    );
    expect(read.classNames?.slice(0, 3)).toEqual(['a?b', '?[31mc', 'd\u200de']);
  });

  it('is refused where there are too few scores for its rate', async () => {
    const few = { ...full, calibration: { scores, labels: new Int32Array(400) } };
    await expect(encodeGate(few)).rejects.toThrow(
      'b: 0 calibration scores are too few to accept 90 %; give at least 9, or calibrate all classes together',
    );
  });
});

describe('a damaged gate file', () => {
  it('is refused at whatever length it is cut', async () => {
    const step = Math.floor(bytes.length / 300);
    for (let length = 0; length < bytes.length; length += step) {
      await expect(decodeGate(bytes.slice(0, length), 'x'), `${length} bytes`).rejects.toThrow(DataError);
    }
    await expect(decodeGate(bytes.slice(0, -1), 'x')).rejects.toThrow(DataError);
  });

  it('is refused wherever a bit of it has changed, be it a weight, a threshold or a name', async () => {
    const header = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
    // Half of them in the header, where the metadata are.
    const places = Array.from({ length: 400 }, (_, i) =>
      Math.floor(random.uniform() * (i % 2 ? header : bytes.length)),
    );
    for (const at of places) {
      const changed = bytes.slice();
      changed[at]! ^= 1 << Math.floor(8 * random.uniform());
      await expect(decodeGate(changed, 'x'), `byte ${at}`).rejects.toThrow(DataError);
    }
    const name = Buffer.from(bytes).toString('latin1').replace('\\"a\\",\\"b\\"', '\\"b\\",\\"a\\"');
    await expect(decodeGate(Buffer.from(name, 'latin1'), 'x')).rejects.toThrow(
      'x does not match its checksum; the file is damaged, copy it again',
    );
  });
});

describe('a gate file that somebody made, its checksum right', () => {
  const { tensors, metadata } = readSafetensors(bytes, 'x');
  const said = JSON.parse(metadata.gate!) as Record<string, unknown>;
  const withGate = (change: Record<string, unknown>) =>
    sealed(tensors, { ...metadata, gate: JSON.stringify({ ...said, ...change }) });
  const withMetadata = (change: Record<string, string | undefined>) =>
    sealed(tensors, JSON.parse(JSON.stringify({ ...metadata, ...change })) as Record<string, string>);
  const withTensor = (name: string, change: Partial<NdArray> | undefined) => {
    const changed = new Map(tensors);
    if (change) changed.set(name, { ...(tensors.get(name) ?? tensors.get('calibration.scores')!), ...change });
    else changed.delete(name);
    return sealed(changed, metadata);
  };
  const float64 = (count: number, shape = [count]) =>
    ({ dtype: 'float64', shape, data: new Float64Array(count) }) as const;

  it('is read where it is right', async () => {
    expect(await decodeGate(sealed(tensors, metadata), 'x')).toEqual(full);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['a network file', withMetadata({ format: 'pt' }), /^x is not a gate; make one with energate calibrate$/],
    ['a later version', withMetadata({ version: '2' }), /^x is a gate of version 2, .* update energate$/],
    ['no version', withMetadata({ version: undefined }), /^x is a gate of version undefined/],
    ['no gate', withMetadata({ gate: undefined }), /^x: its metadata's gate is not JSON; make it again$/],
    ['a gate of text', withMetadata({ gate: '{' }), /^x: its metadata's gate is not JSON/],
    ['a gate of null', withMetadata({ gate: 'null' }), /^x: its metadata's gate is not a JSON object/],
    ['a score to come', withGate({ score: 'oracle' }), /^x decides by the score 'oracle', .* update energate$/],
    ['a score by inheritance', withGate({ score: 'constructor' }), /^x decides by the score 'constructor'/],
    ['a score of numbers', withGate({ score: 3 }), /gate\.score is not a name; make it again$/],
    ['another score, without its state', withGate({ score: 'energy' }), /^x: energy has no means; fit again$/],
    ['an acceptance of 1', withGate({ accept: 1 }), /gate\.accept is not a number between 0 and 1/],
    ['an acceptance of text', withGate({ accept: '0.9' }), /gate\.accept is not/],
    ['a temperature of 0', withGate({ temperature: 0 }), /gate\.temperature is not a number above 0/],
    ['a temperature beyond float32', withGate({ temperature: 1e300 }), /gate\.temperature is not a number above 0/],
    ['a temperature of null', withGate({ temperature: null }), /gate\.temperature is not/],
    ['an epsilon below 0', withGate({ epsilon: -1 }), /gate\.epsilon is not a number of 0 or more/],
    ['a precision that does not exist', withGate({ precision: 'int8' }), /gate\.precision is not float32 or float16/],
    ['thresholds of its own', withGate({ thresholds: Array(10).fill(-1e9) }), /thresholds, bounds or n are not those/],
    ['too few thresholds', withGate({ thresholds: [] }), /thresholds, bounds or n are not those/],
    ['no thresholds', withGate({ thresholds: undefined }), /gate\.thresholds is not a list of numbers/],
    ['bounds that flatter', withGate({ acceptance_bounds_95: Array(10).fill([0.9, 0.9]) }), /thresholds, bounds or n/],
    ['bounds of one side', withGate({ acceptance_bounds_95: Array(10).fill([0.9]) }), /is not a list of pairs/],
    ['another n', withGate({ n: 10_000 }), /thresholds, bounds or n are not those/],
    [
      'a rate that its scores do not allow',
      withGate({ accept: 0.999 }),
      /^x: its calibration gives no threshold \(a: 40 .*\); make/,
    ],
    [
      'another network',
      withMetadata({ network: '{"kind":"wide-resnet","depth":16,"width":1,"classes":10}' }),
      /metadata's network is not the one/,
    ],
    ['no network', withMetadata({ network: undefined }), /^x has no network in its metadata/],
    ['no normalisation', withMetadata({ normalization: undefined }), /^x has no normalization in its metadata/],
    [
      'a normalisation of zeros',
      withMetadata({ normalization: '{"mean":[0,0,0],"std":[0,1,1]}' }),
      /normalization is not/,
    ],
    ['a normalisation of null', withMetadata({ normalization: 'null' }), /normalization is not/],
    ['too few names', withMetadata({ class_names: '["a"]' }), /^x names 1 classes, but its network has 10/],
    ['names of numbers', withMetadata({ class_names: '[1]' }), /class_names is not a list of names/],
    ['no weights', withTensor('network.fc.weight', undefined), /^x is not a WideResNet/],
    ['no scores', withTensor('calibration.scores', undefined), /calibration\.scores must be a list of float64/],
    [
      'scores in float32',
      withTensor('calibration.scores', { dtype: 'float32', shape: [400], data: new Float32Array(400) }),
      /must be a list of float64/,
    ],
    [
      'scores that are NaN',
      withTensor('calibration.scores', { data: new Float64Array(400).fill(Number.NaN) }),
      /gives no threshold/,
    ],
    [
      'too few labels',
      withTensor('calibration.labels', { shape: [1], data: new Int32Array(1) }),
      /calibration\.labels must be int32 of 0 to 9, one a score/,
    ],
    [
      'labels of no class',
      withTensor('calibration.labels', { data: new Int32Array(400).fill(10) }),
      /calibration\.labels must be/,
    ],
    ['more calibration', withTensor('calibration.extra', {}), /holds calibration\.extra, which is not known here/],
    ['a tensor of nothing', withTensor('extra', {}), /^x holds extra, which belongs to no gate/],
    ['a tensor by inheritance', withTensor('constructor.x', {}), /^x holds constructor\.x, which belongs to no gate/],
    ['a tensor whose name ends the line', withTensor('network.a\n\u001b[31m', {}), /has no tensor a\?\?\[31m: is/],
    ['state whose name ends the line', withTensor('fit.a\nb', {}), /^x: mahalanobis has no a\?b; fit again$/],
    ['no means', withTensor('fit.means', undefined), /^x lacks the means that mahalanobis learned; fit again$/],
    [
      'means of another size',
      withTensor('fit.means', float64(630, [10, 63])),
      /the means of mahalanobis is float64 10 x 63, but must be floating point of 10 x 64/,
    ],
    [
      'means of whole numbers',
      withTensor('fit.means', { dtype: 'int32', data: new Int32Array(640), shape: [10, 64] }),
      /is int32 10 x 64/,
    ],
    [
      'means that are NaN',
      withTensor('fit.means', { data: new Float64Array(640).fill(Number.NaN), shape: [10, 64] }),
      /holds NaN or infinity/,
    ],
    ['more state', withTensor('fit.extra', {}), /^x: mahalanobis has no extra/],
  ])('is refused with %s', async (_, file, message) => {
    await expect(decodeGate(file, 'x')).rejects.toThrow(DataError);
    await expect(decodeGate(file, 'x')).rejects.toThrow(message);
  });

  it('with its metadata changed at random, is read or refused, but never fails otherwise', async () => {
    const fields = ['gate', 'network', 'normalization', 'class_names'] as const;
    let refused = 0;
    for (let attempt = 0; attempt < 300; attempt++) {
      const field = fields[attempt % fields.length]!;
      const text = Array.from(metadata[field]!);
      for (let change = 0; change <= attempt % 3; change++) {
        const letter = Array.from('0123456789-.eE[]{}",:nulltruefalse')[Math.floor(33 * random.uniform())]!;
        text.splice(Math.floor(text.length * random.uniform()), change % 2, letter);
      }
      await decodeGate(withMetadata({ [field]: text.join('') }), 'x').catch((error: Error) => {
        expect(error).toBeInstanceOf(DataError);
        expect(error.message).toMatch(/^x[^\n]*$/);
        refused++;
      });
    }
    expect(refused).toBeGreaterThan(150);
  });
});
