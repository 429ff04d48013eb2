import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { ImageSet } from '../../src/data/image-set.js';
import type { NdArray } from '../../src/formats/array.js';
import { writeNpz } from '../../src/formats/npz.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { writeTorch } from '../../src/formats/torch-writer.js';
import { writeZip } from '../../src/formats/zip.js';
import { encodeGate } from '../../src/gate/gate-file.js';
import { encodeCheckpoint } from '../../src/nn/checkpoint.js';
import { stateDictOf } from '../../src/nn/network.js';
import { data, OPTIONS, reference } from '../support/training.js';
import { energate } from './support/run.js';
import { contents, inProcess, npzOf, WEIGHTS, workspace } from './support/workspace.js';

// Everything here is to be found before work starts: whatever gets as far as a GPU fails.
const OPENED = 'the GPU was opened';
vi.mock('../../src/cli/engine.js', () => ({
  openAnnouncedEngine: () => Promise.reject(new Error(OPENED)),
}));

const { path } = workspace();

/** A pickle, of protocol 2, that calls posix.system('true'). */
const EVIL = Uint8Array.of(0x80, 2, ...new TextEncoder().encode('cposix\nsystem\n(X\x04\0\0\0truetR.'));

const tensors = stateDictOf(reference.network());
const changed = (name: string, change: (data: Float32Array) => void): Map<string, NdArray> => {
  const tensor = tensors.get(name)!;
  const data = Float32Array.from(tensor.data as Float32Array);
  change(data);
  return new Map([...tensors, [name, { ...tensor, data }]]);
};
const { inDistribution } = data;
const labelled = (labels: (i: number) => number): Uint8Array =>
  npzOf({ ...inDistribution, labels: Int32Array.from({ length: inDistribution.count }, (_, i) => labels(i)) });
const unlabelled = ({ images, count }: ImageSet) => npzOf({ images, count });

beforeAll(async () => {
  const gate = await encodeGate({
    ...{ network: reference.network(), precision: 'float32', score: 'energy', accept: 0.9 },
    calibration: { scores: Float64Array.from({ length: 20 }, (_, i) => i) },
  });
  const torch = readFileSync(WEIGHTS);
  const safetensors = writeSafetensors(tensors);
  const checkpoint = encodeCheckpoint({
    state: {
      network: reference.network(),
      velocity: new Map([...reference.network().state].filter(([name]) => !/running/.test(name))),
      step: 1,
    },
    options: OPTIONS,
    data: { inDistribution: 'another' },
  });
  const images = { dtype: 'uint8', shape: [18, 32, 32, 3], data: inDistribution.images } as const;
  const files: Record<string, Uint8Array | string> = {
    'old.safetensors': 'precious',
    'old.jsonl': 'precious',
    'short.pt': torch.subarray(0, torch.length / 2),
    'short.safetensors': safetensors.subarray(0, safetensors.length / 2),
    'short.npz': npzOf(inDistribution).subarray(0, 20_000),
    'evil.pt': EVIL,
    'evil-zip.pt': writeZip(new Map([['archive/data.pkl', EVIL]]), 64),
    'notes.txt': 'these are no weights, and no images',
    'empty.npz': new Uint8Array(),
    'nan.safetensors': writeSafetensors(changed('bn1.bias', (bias) => bias.fill(Number.NaN, 3, 4))),
    'resnet.pt': writeTorch(new Map([['layer1.0.conv1.weight', tensors.get('conv1.weight')!]])),
    'cut.safetensors': writeSafetensors(new Map([...tensors].filter(([name]) => name !== 'fc.bias'))),
    'floats.npz': writeNpz({ images: { dtype: 'float32', shape: [1, 32, 32, 3], data: new Float32Array(3072) } }),
    'planes.npz': writeNpz({ images: { ...images, shape: [18, 3, 32, 32] } }),
    'no-images.npz': writeNpz({ x: images }),
    'float-labels.npz': writeNpz({ images, labels: { dtype: 'float64', shape: [18], data: new Float64Array(18) } }),
    'unlabelled.npz': unlabelled(inDistribution),
    'eleven.npz': labelled((i) => (i === 7 ? 10 : 0)),
    'negative.npz': labelled((i) => -i),
    'one-class.npz': labelled(() => 0),
    'gaps.npz': labelled((i) => 1000 * i),
    'run/checkpoint.safetensors': checkpoint,
    'damaged/checkpoint.safetensors': checkpoint.subarray(0, 1000),
    'good.energate': gate,
    'damaged.energate': gate.map((byte, i) => (i === gate.length - 1 ? byte ^ 1 : byte)),
    'folder/notes.txt': 'no picture',
    'photos/train/a.png': 'a picture, by its name',
  };
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(path(name)), { recursive: true });
    writeFileSync(path(name), bytes);
  }
});

type Options = Readonly<Record<string, string | undefined>>;

/** A command that is right, with some options changed; those that are undefined are left out. */
function line(command: string, good: Options, change: Options): string[] {
  const options = Object.entries({ ...good, ...change });
  return [command, ...options.flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, value]))];
}
// Only now are the paths known.
const good: Readonly<Record<string, () => Options>> = {
  finetune: () => ({
    weights: WEIGHTS,
    in: path('in.npz'),
    outliers: path('out.npz'),
    batch: '6',
    'outlier-batch': '10',
    steps: '2',
    log: path('old.jsonl'),
    output: path('old.safetensors'),
  }),
  train: () => ({ data: path('in.npz'), depth: '10', batch: '16', steps: '2', output: path('old.safetensors') }),
  score: () => ({ weights: WEIGHTS, images: path('in.npz'), output: path('scores.csv') }),
  calibrate: () => ({ weights: WEIGHTS, in: path('in.npz'), accept: '0.8', output: path('old.safetensors') }),
  evaluate: () => ({ weights: WEIGHTS, in: path('in.npz'), ood: `out=${path('out.npz')}`, json: path('result.json') }),
};

/** The command refuses in one line with this exit code, and nothing has changed on the disk. */
async function expectRefusal(args: readonly string[], code: number, message: RegExp): Promise<void> {
  const folder = path('.');
  const before = contents(folder);
  const result = await inProcess(args);
  expect(result).toEqual({ code, stdout: '', stderr: expect.stringMatching(/^energate: [^\n]+\n$/) });
  expect(result.stderr.slice('energate: '.length, -1)).toMatch(message);
  expect(digest(contents(folder))).toBe(digest(before));
}
const digest = (value: unknown) => createHash('sha256').update(JSON.stringify(value)).digest('hex');

it.each(Object.keys(good))('%s gets as far as the GPU where nothing is wrong', async (command) => {
  const { stderr } = await inProcess(line(command, good[command]!(), {}));
  expect(stderr).toContain(OPENED);
});

describe('finetune', () => {
  it.each<[string, Options, number, RegExp]>([
    [
      'its weights as its checkpoint',
      { weights: '@run/checkpoint.safetensors', checkpoint: '@run' },
      1,
      /^cannot write .*: it is read, as .*; give the name of another file$/,
    ],
    [
      'its outliers as its log',
      { log: '@out.npz' },
      1,
      /^cannot write .*: it is read, as .*; give the name of another file$/,
    ],
    [
      'its images as its output',
      { output: '@in.npz' },
      1,
      /^cannot write .*: it is read, as .*; give the name of another file$/,
    ],
    [
      'no such weights',
      { weights: '@none.pt' },
      1,
      /^cannot read .*none\.pt: there is no such file or folder; check the path$/,
    ],
    ['a folder for weights', { weights: '@.' }, 1, /^cannot read .*: it is a folder; give the name of a file$/],
    [
      'weights cut short (PyTorch)',
      { weights: '@short.pt' },
      1,
      /short\.pt is not a whole zip archive; it is cut short/,
    ],
    [
      'weights cut short (safetensors)',
      { weights: '@short.safetensors' },
      1,
      /short\.safetensors: block3\..* the file is cut short or damaged$/,
    ],
    [
      'a pickle that runs a program',
      { weights: '@evil.pt' },
      1,
      /evil\.pt asks for posix\.system, which energate does not run; re-save/,
    ],
    [
      'the same in a zip',
      { weights: '@evil-zip.pt' },
      1,
      /evil-zip\.pt asks for posix\.system, which energate does not run; re-save/,
    ],
    ['text for weights', { weights: '@notes.txt' }, 1, /^.*notes\.txt is not a weight file; give a \.safetensors file/],
    [
      'images for weights',
      { weights: '@in.npz' },
      1,
      /in\.npz is a zip archive without a data\.pkl; give weights saved by torch\.save$/,
    ],
    [
      'NaN in the weights',
      { weights: '@nan.safetensors' },
      1,
      /nan\.safetensors: bn1\.bias holds NaN at element 3: .*; give another$/,
    ],
    [
      'weights of another network',
      { weights: '@resnet.pt' },
      1,
      /resnet\.pt is not a WideResNet: .*; energate takes WideResNets alone$/,
    ],
    [
      'weights without a tensor',
      { weights: '@cut.safetensors' },
      1,
      /cut\.safetensors: .* needs the tensor fc\.bias, which is missing: save the whole state dict$/,
    ],
    ['no such images', { in: '@none.npz' }, 1, /^cannot read .*none\.npz: there is no such file/],
    ['images cut short', { in: '@short.npz' }, 1, /short\.npz is not a whole zip archive; it is cut short/],
    ['an empty file', { in: '@empty.npz' }, 1, /empty\.npz is not an image set; give \.npz/],
    ['text for images', { in: '@notes.txt' }, 1, /notes\.txt is not an image set; give \.npz/],
    [
      'images of floats',
      { in: '@floats.npz' },
      1,
      /floats\.npz: images must be uint8 .*, but are float32 .*; save them/,
    ],
    ['images of planes', { in: '@planes.npz' }, 1, /planes\.npz: .* save images\.transpose\(0, 2, 3, 1\)/],
    ['a file without images', { in: '@no-images.npz' }, 1, /no-images\.npz has no array 'images'; it holds: x/],
    ['labels of floats', { in: '@float-labels.npz' }, 1, /float-labels\.npz: labels must be integers/],
    [
      'images without labels',
      { in: '@unlabelled.npz' },
      1,
      /unlabelled\.npz has no labels; add an integer array 'labels'/,
    ],
    [
      'a label that is no class',
      { in: '@eleven.npz' },
      1,
      /eleven\.npz: label 7 is 10, but the network has 10 classes/,
    ],
    ['a negative label', { in: '@negative.npz' }, 1, /negative\.npz: label 1 is -1; number the classes from 0/],
    ['no such outliers', { outliers: '@none.npz' }, 1, /^cannot read .*none\.npz/],
    [
      'a batch larger than the set',
      { batch: '19' },
      2,
      /^batch 19 is larger than .*in\.npz, which has 18 images: use at most 18$/,
    ],
    [
      'as much of the outliers',
      { 'outlier-batch': '31' },
      2,
      /^outlier batch 31 is larger than .*out\.npz, .* use at most 30$/,
    ],
    ['margins that are equal', { 'm-in': '-5' }, 2, /^--m-in -5 must be below --m-out -5: energy is to be low/],
    [
      'dropout of everything',
      { dropout: '1' },
      2,
      /--dropout <p>.* give a number of 0 or more and below 1; see .*--help$/,
    ],
    ['a negative learning rate', { lr: '-1' }, 2, /--lr <rate>.* give a number above 0/],
    ['a loss that does not exist', { loss: 'odin' }, 2, /^--loss odin does not exist: give energy, hinge, oe$/],
    ['epochs and steps', { epochs: '1' }, 2, /^give --steps or --epochs, not both$/],
    [
      'a normalisation in 0..255',
      { normalize: '125,123,114/63,62,67' },
      2,
      /--normalize <how>.*divide figures of 0\.\.255 by 255/,
    ],
    ['no output', { output: undefined }, 2, /^--output is missing/],
    ['images alone', { weights: undefined, outliers: undefined }, 2, /^--weights and --outliers missing: give/],
    [
      'an output in no folder',
      { output: '@none/w.safetensors' },
      1,
      /^cannot write .*w\.safetensors: there is no such file or folder/,
    ],
    [
      'an output that is a folder',
      { output: '@run' },
      1,
      /^cannot write .*run: it is a folder; give the name of a file$/,
    ],
    [
      'an output below a file',
      { output: '@notes.txt/w.safetensors' },
      1,
      /^cannot write .*: a part of its path is a file/,
    ],
    ['a log in no folder', { log: '@none/log.jsonl' }, 1, /^cannot write .*log\.jsonl: there is no such/],
    [
      'checkpoints in a file',
      { checkpoint: '@notes.txt' },
      1,
      /^cannot make the folder for checkpoints, .*notes\.txt: a file has that name; give another --checkpoint$/,
    ],
    ['nothing to resume', { resume: '@none' }, 1, /^cannot read .*none.checkpoint\.safetensors: there is no such file/],
    ['a damaged checkpoint', { resume: '@damaged' }, 1, /damaged.checkpoint\.safetensors .*(cut short|damaged)/],
    [
      'a checkpoint of other images',
      { resume: '@run', steps: undefined },
      2,
      /^the in-distribution images are not those that the run in .*run began with/,
    ],
    [
      'a checkpoint of other steps',
      { resume: '@run', steps: '2' },
      2,
      /^--steps differs from the run in .*run \(steps 6\): leave it out, or start anew/,
    ],
  ])('refuses %s', async (_, change, code, message) => {
    await expectRefusal(line('finetune', good.finetune!(), resolved(change)), code, message);
  });

  it.skipIf(process.platform !== 'linux')('refuses an output where nothing can be made, whoever asks', async () => {
    await expectRefusal(
      line('finetune', good.finetune!(), { output: '/proc/w.safetensors' }),
      1,
      /^cannot write \/proc\/w\.safe/,
    );
  });
});

describe('train', () => {
  it.each<[string, Options, number, RegExp]>([
    [
      'its images as its output',
      { output: '@in.npz' },
      1,
      /^cannot write .*: it is read, as .*; give the name of another file$/,
    ],
    ['images without labels', { data: '@unlabelled.npz' }, 1, /unlabelled\.npz has no labels; add/],
    [
      'a single class',
      { data: '@one-class.npz' },
      1,
      /one-class\.npz: every label is 0, but there must be at least 2 classes; number them from 0$/,
    ],
    [
      'labels with gaps',
      { data: '@gaps.npz' },
      1,
      /gaps\.npz: its 18 images have labels up to 17000; number the classes from 0 without gaps$/,
    ],
    ['a depth that is not 6n + 4', { depth: '12' }, 2, /^depth 12 is not 6n \+ 4: use 10, 16/],
    ['a batch larger than the set', { batch: '128' }, 2, /^batch 128 is larger than .*in\.npz, which has 18 images/],
    [
      'no output',
      { output: undefined },
      2,
      /^required option '--output <file>' not specified; see energate train --help$/,
    ],
    ['an output in no folder', { output: '@none/w.safetensors' }, 1, /^cannot write .*there is no such/],
  ])('refuses %s', async (_, change, code, message) => {
    await expectRefusal(line('train', good.train!(), resolved(change)), code, message);
  });
});

describe('score', () => {
  it.each<[string, Options, number, RegExp]>([
    [
      'its images as its output',
      { images: '@in.npz', output: '@in.npz' },
      1,
      /^cannot write .*: it is read, as .*; give the name of another file$/,
    ],
    [
      'a temperature of scores that have none',
      { scores: 'msp', temperature: '5' },
      2,
      /^--temperature is of energy, odin, not of msp: leave it out$/,
    ],
    [
      'an input step of scores that have none',
      { scores: 'energy', epsilon: '0.01' },
      2,
      /^--epsilon is of odin, mahalanobis, not of energy: leave it out$/,
    ],
    [
      'a fit to be saved of scores that learn nothing',
      { scores: 'energy', fit: '@in.npz', 'save-fit': '@fit.safetensors' },
      2,
      /^--save-fit is of mahalanobis, knn, .*, not of energy: leave it out$/,
    ],
    [
      'a fit that no score needs',
      { scores: 'energy', fit: '@in.npz' },
      2,
      /^--fit is of mahalanobis, .*: leave it out$/,
    ],
    [
      'an unknown kind of output',
      { output: '@scores.xlsx' },
      2,
      /^--output .*scores\.xlsx: give a name that ends in \.npz, \.csv, \.jsonl$/,
    ],
    ['no weights', { weights: undefined }, 2, /^required option '--weights <file>' not specified/],
    ['NaN in the weights', { weights: '@nan.safetensors' }, 1, /bn1\.bias holds NaN at element 3/],
    ['no such images', { images: '@none.npz' }, 1, /^cannot read .*none\.npz/],
    ['a temperature of 0', { temperature: '0' }, 2, /--temperature <T>.* give a number above 0/],
    ['an output in no folder', { output: '@none/s.csv' }, 1, /^cannot write .*there is no such/],
  ])('refuses %s', async (_, change, code, message) => {
    await expectRefusal(line('score', good.score!(), resolved(change)), code, message);
  });
});

describe('evaluate', () => {
  it.each<[string, Options, number, RegExp]>([
    [
      'an out-of-distribution set as its result',
      { json: '@out.npz' },
      1,
      /^cannot write .*: it is read, as .*; give the name of another file$/,
    ],
    ['images without labels', { in: '@unlabelled.npz' }, 1, /unlabelled\.npz has no labels/],
    [
      'a label that is no class',
      { in: '@eleven.npz' },
      1,
      /eleven\.npz: label 7 is 10, but the network has 10 classes/,
    ],
    ['in-distribution images alone', { ood: undefined }, 2, /^--ood is missing: give --in and --ood, or neither/],
    ['out-of-distribution images alone', { in: undefined }, 2, /^--in is missing: give/],
    ['a set without a name', { ood: '@out.npz' }, 2, /--ood <name=file\.\.\.>.* give NAME=PATH; see/],
    [
      'a set called as the row of means',
      { ood: 'average=@out.npz' },
      2,
      /^--ood average=.. takes the name of the row of means/,
    ],
    [
      'a protocol that does not exist',
      { protocol: 'mine' },
      2,
      /^--protocol mine does not exist: give paper, oe, openood, full$/,
    ],
    [
      'a score that does not exist',
      { scores: 'msp,odine' },
      2,
      /--scores <list>.* give one or more of msp, energy, maxlogit/,
    ],
    ['a score to be fitted on nothing', { scores: 'knn' }, 2, /^--fit is missing: knn learn from training images/],
    [
      'a fit to be saved that is read',
      { scores: 'knn', fit: '@fit.safetensors', 'save-fit': '@fit2.safetensors' },
      2,
      /^--save-fit needs training images to fit on: give them as --fit$/,
    ],
    ['no labels to fit on', { scores: 'mahalanobis', fit: '@unlabelled.npz' }, 1, /unlabelled\.npz has no labels/],
    ['a result in no folder', { json: '@none/r.json' }, 1, /^cannot write .*there is no such/],
  ])('refuses %s', async (_, change, code, message) => {
    await expectRefusal(line('evaluate', good.evaluate!(), resolved(change)), code, message);
  });
});

describe('calibrate', () => {
  it.each<[string, Options, number, RegExp]>([
    [
      'its images as its output',
      { output: '@in.npz' },
      1,
      /^cannot write .*: it is read, as .*; give the name of another file$/,
    ],
    [
      'its images as its fit',
      { score: 'knn', fit: '@out.npz', 'save-fit': '@in.npz' },
      1,
      /^cannot write .*: it is read, as .*; give the name of another file$/,
    ],
    [
      'a temperature of scores that have none',
      { score: 'msp', temperature: '5' },
      2,
      /^--temperature is of energy, odin, not of msp: leave it out$/,
    ],
    [
      'an input step of scores that have none',
      { score: 'energy', epsilon: '0.01' },
      2,
      /^--epsilon is of odin, mahalanobis, not of energy: leave it out$/,
    ],
    [
      'a fit to be saved of scores that learn nothing',
      { score: 'energy', fit: '@in.npz', 'save-fit': '@fit.safetensors' },
      2,
      /^--save-fit is of mahalanobis, knn, .*, not of energy: leave it out$/,
    ],
    [
      'a fit that no score needs',
      { score: 'energy', fit: '@in.npz' },
      2,
      /^--fit is of mahalanobis, .*: leave it out$/,
    ],
    ['no output', { output: undefined }, 2, /^required option '--output <file>' not specified; see energate calib/],
    ['an output in no folder', { output: '@none/g.energate' }, 1, /^cannot write .*there is no such/],
    [
      'weights without images',
      { in: undefined },
      2,
      /^--in missing: give --weights and --in, or neither for the embed/,
    ],
    ['images without weights', { weights: undefined }, 2, /^--weights missing: give --weights and --in, or neither/],
    ['NaN in the weights', { weights: '@nan.safetensors' }, 1, /bn1\.bias holds NaN at element 3/],
    ['no such images', { in: '@none.npz' }, 1, /^cannot read .*none\.npz/],
    [
      'a percentage',
      { accept: '95' },
      2,
      /--accept <fraction>.* give a number between 0 and 1, as 0\.95; see energate calibrate --help$/,
    ],
    ['too few images', { accept: '0.95' }, 1, /^18 calibration scores are too few to accept 95 %; give at least 19$/],
    ['a score that does not exist', { score: 'odine' }, 2, /^there is no score 'odine'; choose from msp, energy/],
    ['a score to be fitted on nothing', { score: 'knn' }, 2, /^--fit is missing: knn learn from training images/],
    ['a precision that does not exist', { precision: 'int8' }, 2, /^--precision int8 does not exist: give float32 or/],
    ['a temperature of 0', { temperature: '0' }, 2, /--temperature <T>.* give a number above 0/],
  ])('refuses %s', async (_, change, code, message) => {
    await expectRefusal(line('calibrate', good.calibrate!(), resolved(change)), code, message);
  });
});

describe('check', () => {
  it.each<[string, string, string, number, RegExp]>([
    ['no such gate', '@none.energate', '@in.npz', 1, /^cannot read .*none\.energate: there is no such file/],
    [
      'a network',
      '@nan.safetensors',
      '@in.npz',
      1,
      /nan\.safetensors is not a gate; make one with energate calibrate$/,
    ],
    ['a damaged gate', '@damaged.energate', '@in.npz', 1, /damaged\.energate does not match its checksum; .* copy it/],
    ['text for a gate', '@notes.txt', '@in.npz', 1, /notes\.txt has .* it is cut short or not a safetensors file$/],
    ['no such picture', '@good.energate', '@none.png', 1, /^cannot read .*none\.png: there is no such file or folder/],
    ['a folder without pictures', '@good.energate', '@folder', 1, /folder holds no picture: \.png, \.jpg/],
    ['text for images', '@good.energate', '@notes.txt', 1, /notes\.txt is not an image set/],
  ])('refuses %s', async (_, gate, images, code, message) => {
    const { gate: file, images: path } = resolved({ gate, images });
    await expectRefusal(['check', '--gate', file!, path!], code, message);
  });

  it('refuses to work on nothing, and gets as far as the GPU with something', async () => {
    const { gate, images } = resolved({ gate: '@good.energate', images: '@in.npz' });
    await expectRefusal(
      ['check', '--gate', gate!],
      2,
      /^missing required argument 'images'; see energate check --help$/,
    );
    await expectRefusal(
      ['check', images!],
      2,
      /^required option '--gate <file>' not specified; see energate check --help$/,
    );
    // A subfolder may have the name of one of CIFAR's files.
    for (const set of [images!, path('photos')]) {
      expect((await inProcess(['check', '--gate', gate!, set])).stderr).toContain(OPENED);
    }
  });
});

describe('convert', () => {
  it.each<[string, string, string, number, RegExp]>([
    [
      'an unknown kind of file',
      '@nan.safetensors',
      '@b.onnx',
      2,
      /^.*b\.onnx: give a name that ends in \.safetensors, \.pt, \.pth$/,
    ],
    ['no such file', '@none.pt', '@b.pt', 1, /^cannot read .*none\.pt: there is no such file/],
    ['NaN', '@nan.safetensors', '@old.safetensors', 1, /bn1\.bias holds NaN/],
    ['a pickle that runs a program', '@evil-zip.pt', '@old.safetensors', 1, /posix\.system/],
    ['an output in no folder', '@old.safetensors', '@none/b.pt', 1, /^cannot write .*there is no such/],
  ])('refuses %s', async (_, from, to, code, message) => {
    const [a, b] = [from, to].map((name) => path(name.slice(1)));
    await expectRefusal(['convert', a!, b!], code, message);
  });
});

it.each<[string, Options, number, RegExp]>([
  ['weights cut short', { weights: '@short.pt' }, 1, /short\.pt/],
  ['margins the wrong way round', { 'm-in': '-5', 'm-out': '-23' }, 2, /--m-in -5 must be below --m-out -23/],
  ['an output that is a folder', { output: '@run' }, 1, /cannot write/],
])('as a program of its own, finetune refuses %s in one line', async (_, change, code, message) => {
  const before = contents(path('.'));
  const result = await energate(line('finetune', good.finetune!(), resolved(change)));
  expect(result).toEqual({ code, stdout: '', stderr: expect.stringMatching(/^energate: [^\n]+\n$/) });
  expect(result.stderr).toMatch(message);
  expect(contents(path('.'))).toEqual(before);
});

/** @NAME is the file NAME of this test's folder. */
function resolved(options: Options): Options {
  const entries = Object.entries(options).map(([name, value]) => [
    name,
    value?.replace(/@(.*)$/, (_, file) => path(file)),
  ]);
  return Object.fromEntries(entries);
}
