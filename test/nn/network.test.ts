import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DataError, UsageError } from '../../src/errors.js';
import type { NdArray } from '../../src/formats/array.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { readStateDict } from '../../src/formats/state-dict.js';
import { writeTorch } from '../../src/formats/torch-writer.js';
import { networkFromState, parameterCount, stateDictOf, stateShapes } from '../../src/nn/network.js';
import { decodeNetwork, encodeNetwork } from '../../src/nn/network-file.js';
import { toEngineLayout, toPyTorchLayout, wideResNet } from '../../src/nn/wide-resnet.js';
import { CIFAR } from '../support/golden.js';
import { reference } from '../support/training.js';

const fixture = (name: string) => {
  const bytes = new Uint8Array(readFileSync(new URL(`../fixtures/reference/${name}`, import.meta.url)));
  return readStateDict(bytes, name);
};

describe('sizes', () => {
  it.each([
    [40, 2, 10, 2_243_546],
    [40, 2, 100, 2_255_156],
    [16, 1, 10, 175_066],
  ])('a WRN-%d-%d of %d classes has %d parameters, as PyTorch’s', (depth, width, classes, count) => {
    expect(parameterCount({ depth, width, classes })).toBe(count);
  });

  it('names, shapes and order are those of PyTorch’s state dict', () => {
    const { tensors } = fixture('wrn-10-1.zip.pt');
    const theirs = [...tensors].filter(([name]) => !name.endsWith('num_batches_tracked'));
    expect([...stateShapes({ depth: 10, width: 1, classes: 10 })]).toEqual(
      theirs.map(([name, { shape }]) => [name, shape]),
    );
    expect([...stateDictOf(reference.network()).keys()]).toEqual([...tensors.keys()]);
  });

  it.each([
    [{ depth: 12, width: 1, classes: 10 }, /^depth 12 is not 6n \+ 4: use 10, 16/],
    [{ depth: 4, width: 1, classes: 10 }, /^depth 4 is not/],
    [{ depth: 10, width: 0.5, classes: 10 }, /^width 0\.5 is not a positive integer/],
    [{ depth: 10, width: 1, classes: 1 }, /^1 classes: there must be at least 2/],
  ])('refuses %j', (config, message) => {
    expect(() => wideResNet(config, { seed: 1, normalization: CIFAR })).toThrow(UsageError);
    expect(() => wideResNet(config, { seed: 1, normalization: CIFAR })).toThrow(message);
  });
});

describe('fresh weights', () => {
  const config = { depth: 10, width: 2, classes: 10 };
  const network = wideResNet(config, { seed: 3, normalization: CIFAR });
  const of = (name: string) => network.state.get(name)!.data;

  it('convolutions are N(0, 2 / (kh kw out))', () => {
    const values = of('block3.layer.0.conv2.weight');
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    const expected = 2 / (3 * 3 * 128);
    // Five standard errors, of the mean and of the variance of 147,456 normal numbers.
    expect(Math.abs(mean)).toBeLessThan(5 * Math.sqrt(expected / values.length));
    expect(Math.abs(variance / expected - 1)).toBeLessThan(5 * Math.sqrt(2 / values.length));
    // Normal, and not uniform of that variance: 4.55 % lie beyond two deviations.
    const beyond = values.filter((value) => Math.abs(value) > 2 * Math.sqrt(expected)).length / values.length;
    expect(beyond).toBeCloseTo(0.0455, 2);
  });

  it('fc is U(±1 / sqrt(in)), batch norm 1 and 0, fc bias 0', () => {
    const weight = of('fc.weight');
    const bound = 1 / Math.sqrt(128);
    expect(weight.every((value) => Math.abs(value) <= bound)).toBe(true);
    const variance = weight.reduce((sum, value) => sum + value ** 2, 0) / weight.length;
    expect(variance / (bound ** 2 / 3)).toBeCloseTo(1, 0);
    expect(Math.max(...weight)).toBeGreaterThan(0.95 * bound);
    for (const [field, value] of Object.entries({ weight: 1, bias: 0, running_mean: 0, running_var: 1 })) {
      for (const name of ['block1.layer.0.bn1', 'bn1'])
        expect(new Set(of(`${name}.${field}`))).toEqual(new Set([value]));
    }
    expect(new Set(of('fc.bias'))).toEqual(new Set([0]));
  });

  it('are those of their seed', () => {
    expect(wideResNet(config, { seed: 3, normalization: CIFAR })).toEqual(network);
    expect(wideResNet(config, { seed: 4, normalization: CIFAR }).state.get('fc.weight')).not.toEqual(
      network.state.get('fc.weight'),
    );
  });
});

it('convolutions change layout to [kh, kw, in, out] and back', () => {
  const conv = { shape: [2, 3, 1, 2], data: Float32Array.from({ length: 12 }, (_, i) => i) };
  const turned = toEngineLayout(conv);
  expect(turned.shape).toEqual([1, 2, 3, 2]);
  // Element [out 1, in 2, 0, kw 0] of the first is number 10; it lies at [0, 0, 2, 1] of the second.
  expect(turned.data[5]).toBe(10);
  expect(toPyTorchLayout(turned)).toEqual(conv);
});

describe('a network from tensors', () => {
  const whole = () => new Map(stateDictOf(reference.network()));
  const edited = (name: string, edit: (tensor: NdArray) => NdArray | undefined) => {
    const tensors = whole();
    const tensor = edit(tensors.get(name)!);
    if (tensor) tensors.set(name, tensor);
    else tensors.delete(name);
    return tensors;
  };
  const withValue = (index: number, value: number) => (tensor: NdArray) => {
    const data = Float32Array.from(tensor.data as Float32Array);
    data[index] = value;
    return { ...tensor, data };
  };
  const tracked = (data: BigInt64Array) => (): NdArray => ({ dtype: 'int64', shape: [data.length], data });

  it.each<[string, Map<string, NdArray>, string | RegExp]>([
    [
      'a missing tensor',
      edited('block2.layer.0.bn1.bias', () => undefined),
      'net.pt: a WRN-10-1 of 10 classes needs the tensor block2.layer.0.bn1.bias, which is missing: save the whole state dict',
    ],
    [
      'a wrong shape',
      edited('fc.bias', (bias) => ({ ...bias, shape: [2, 5] })),
      /^net\.pt: fc\.bias is .*2.*5.*, but a WRN-10-1 of 10 classes needs .*10/,
    ],
    [
      'an unknown tensor',
      new Map([...whole(), ['fc2.bias', whole().get('fc.bias')!]]),
      'net.pt: a WRN-10-1 of 10 classes has no tensor fc2.bias: is this another kind of network?',
    ],
    [
      'NaN',
      edited('bn1.bias', withValue(5, Number.NaN)),
      /^net\.pt: bn1\.bias holds NaN at element 5: the file is damaged/,
    ],
    ['infinity', edited('conv1.weight', withValue(7, -Infinity)), /conv1\.weight holds -Infinity at element 7/],
    [
      'quantised weights',
      edited('conv1.weight', ({ shape, data }) => ({
        dtype: 'int8',
        shape,
        data: Int8Array.from(data as never, Number),
      })),
      /^net\.pt: conv1\.weight is int8, but must be floating point: save/,
    ],
    [
      'a wrong count of batches',
      edited('bn1.num_batches_tracked', tracked(BigInt64Array.of(-1n))),
      /num_batches_tracked is -1/,
    ],
    [
      'another network',
      new Map([['layer1.0.conv1.weight', whole().get('conv1.weight')!]]),
      /^net\.pt is not a WideResNet: it has no .* \(it holds layer1\.0\.conv1\.weight\); energate takes/,
    ],
    ['nothing', new Map(), /it holds nothing/],
    [
      'a width that is no whole number',
      edited('block1.layer.0.conv1.weight', ({ dtype }) => ({
        dtype,
        shape: [20, 16, 3, 3],
        data: new Float32Array(2880),
      })),
      /^net\.pt is not a WideResNet: width 1\.25 is not a positive integer/,
    ],
  ])('refuses %s', (_, tensors, message) => {
    const load = () => networkFromState(tensors, 'net.pt', { normalization: CIFAR });
    expect(load).toThrow(DataError);
    expect(load).toThrow(message);
  });

  it('takes files without num_batches_tracked, as PyTorch wrote them once', () => {
    const { tensors } = fixture('wrn-10-1.zip.pt');
    const old = new Map([...tensors].filter(([name]) => !name.endsWith('num_batches_tracked')));
    const network = networkFromState(old, 'old.pt', { normalization: CIFAR });
    expect(network).toEqual(reference.network());
  });

  it('takes half precision', () => {
    const half = networkFromState(fixture('wrn-10-1.half.pt').tensors, 'half.pt', { normalization: CIFAR });
    for (const [name, { data }] of reference.network().state) {
      for (const [i, value] of half.state.get(name)!.data.entries()) {
        expect(Math.abs(value - data[i]!)).toBeLessThanOrEqual(2 ** -11 * Math.abs(data[i]!) + 2 ** -25);
      }
    }
  });
});

describe('files', () => {
  const network = {
    ...reference.network(),
    normalization: { mean: [0.1, 0.2, 0.3], std: [0.5, 0.6, 0.7] } as const,
    batchesTracked: 12_345,
    classNames: Array.from({ length: 10 }, (_, i) => `class ${i}`),
  };

  it('ours holds the whole network, bit for bit', () => {
    expect(decodeNetwork(readSafetensors(encodeNetwork(network), 'a'), 'a')).toEqual(network);
  });

  it('PyTorch’s holds all but normalisation and class names', () => {
    const { tensors, metadata } = readStateDict(writeTorch(stateDictOf(network)), 'a.pt');
    const { classNames, ...rest } = network;
    expect(decodeNetwork({ tensors, metadata }, 'a.pt')).toEqual({ ...rest, normalization: CIFAR });
    expect(decodeNetwork({ tensors, metadata }, 'a.pt', network.normalization)).toEqual(rest);
  });

  it.each<[Record<string, string>, RegExp]>([
    [{ normalization: '{' }, /^a: its metadata's normalization is not JSON: write the file again$/],
    [{ normalization: '{"mean":[0,0],"std":[1,1,1]}' }, /normalization is not \{mean: .* give --normalize$/],
    [{ normalization: '{"mean":[0,0,0],"std":[1,0,1]}' }, /normalization is not/],
    [{ normalization: 'null' }, /normalization is not/],
    [{ class_names: '[1, 2]' }, /^a: its metadata's class_names is not a list of names: write the file again$/],
  ])('refuses the metadata %j', (metadata, message) => {
    const file = readSafetensors(writeSafetensors(stateDictOf(network), metadata), 'a');
    expect(() => decodeNetwork(file, 'a')).toThrow(DataError);
    expect(() => decodeNetwork(file, 'a')).toThrow(message);
  });

  it('a normalisation that is given makes up for a damaged one', () => {
    const file = readSafetensors(writeSafetensors(stateDictOf(network), { normalization: '{' }), 'a');
    expect(decodeNetwork(file, 'a', CIFAR).normalization).toEqual(CIFAR);
  });
});
