// Every format: whole files to begin with, ways to damage them, and who reads them.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Gzip, gunzipSync, gzipSync, unzipSync, unzlibSync, Zip, ZipDeflate, Zlib, zipSync, zlibSync } from 'fflate';
import { imageSetFromCifar, loadImages } from '../../src/data/image-set.js';
import type { NdArray } from '../../src/formats/array.js';
import { readNpy, writeNpy } from '../../src/formats/npy.js';
import { readNpz } from '../../src/formats/npz.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { readStateDict } from '../../src/formats/state-dict.js';
import { writeTorch } from '../../src/formats/torch-writer.js';
import { decodeGate, encodeGate } from '../../src/gate/gate-file.js';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/nn/checkpoint.js';
import { isStatistic, type Network } from '../../src/nn/network.js';
import { decodeNetwork } from '../../src/nn/network-file.js';
import { decodeFits, encodeFits } from '../../src/nn/scorer.js';
import { wideResNet } from '../../src/nn/wide-resnet.js';
import { readImageSet } from '../../src/node/images.js';
import { findScore, fitArrays } from '../../src/ood/scores.js';
import { cifar10Files, cifarBatch, tar, tarEntry } from '../formats/support/cifar.js';
import { bytesOf, join, mutate, mutateJson, mutateNumbers, type Random, text } from './mutate.js';

export interface Format {
  readonly name: string;
  /** A damaged file. */
  damage(random: Random): Uint8Array | Promise<Uint8Array>;
  /** @param path where `bytes` lie on the disk */
  read(bytes: Uint8Array, path: string): unknown;
  /** Whether `read` wants the file on the disk. */
  readonly onDisk?: true;
}

const fixture = (path: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(readFileSync(new URL(`../fixtures/${path}`, import.meta.url)));
const stored = fixture('formats/stored.npz');
const deflatedNpz = fixture('formats/deflated.npz');
const version1 = fixture('formats/version1.npy');
const viewsFile = fixture('reference/views.pt');
const readImages = async (_: Uint8Array, path: string) => loadImages(await readImageSet(path, { split: 'test' }));

/** The same as if one image were more than memory holds. */
const readStreamed = async (_: Uint8Array, path: string) => loadImages(await readImageSet(path, { inMemory: 0 }));

/** One way or another, as often as they are named. */
const either = (random: Random, ...ways: readonly (() => Uint8Array | Promise<Uint8Array>)[]) => random.of(ways)();

// --- NumPy

function damageNpy(npy: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  const end = 10 + npy[8]! + 256 * npy[9]!;
  const header = mutateNumbers(text(npy.subarray(10, end)), random).replace(/'[|<]..'/, (descr) =>
    random.of([descr, descr, "'<f8'", "'>f4'", "'|O'", "'<U9'", "'|u1'", "''"]),
  );
  const head = npy.slice(0, 10);
  if (random.below(2)) new DataView(head.buffer).setUint16(8, header.length, true);
  return join(head, bytesOf(header), npy.subarray(end));
}

function damageZip(zip: Uint8Array, damageEntry: (entry: Uint8Array, random: Random) => Uint8Array, random: Random) {
  const files = unzipSync(zip);
  const names = Object.keys(files);
  const chosen = random.of(names);
  files[chosen] = damageEntry(files[chosen]!, random).slice();
  if (random.below(8) === 0) files[`../${chosen}`] = files[chosen];
  if (random.below(8) === 0) delete files[random.of(names)];
  return zipSync(files, { level: random.of([0, 6]) as 0 | 6 });
}

const readAllOfNpz = (bytes: Uint8Array) => {
  const npz = readNpz(bytes, 'x');
  for (const name of npz.names) npz.get(name);
};

/** What is small on the disk, and would be large in memory: 100 MB of zeros, after `start`. */
function deflated(
  stream: { ondata: unknown; push(chunk: Uint8Array<ArrayBuffer>, final?: boolean): void },
  start: Uint8Array<ArrayBuffer> = new Uint8Array(),
): Uint8Array {
  const parts: Uint8Array[] = [];
  stream.ondata = (chunk: Uint8Array) => void parts.push(chunk);
  stream.push(start);
  const zeros = new Uint8Array(1e6);
  for (let i = 1; i <= 100; i++) stream.push(zeros, i === 100);
  return join(...parts);
}

function zipOfZeros(): Uint8Array {
  const parts: Uint8Array[] = [];
  const zip = new Zip((_, chunk) => void parts.push(chunk));
  for (const name of ['images.npy', 'archive/data.pkl']) {
    const entry = new ZipDeflate(name, { level: 9 });
    zip.add(entry);
    for (let i = 1; i <= 100; i++) entry.push(new Uint8Array(1e6), i === 100);
  }
  zip.end();
  return join(...parts);
}

const zipBomb = zipOfZeros();
const gzipBomb = deflated(new Gzip({ level: 9 }));
const tarBomb = deflated(new Gzip({ level: 9 }), hugeTarEntry(100e6));
const matBomb = join(
  fixture('formats/svhn.mat').subarray(0, 128),
  matElement(15, deflated(new Zlib({ level: 9 }), matTag(14, 100e6))),
);

function hugeTarEntry(size: number): Uint8Array<ArrayBuffer> {
  return fixTarChecksum(
    join(
      tarEntry('data_batch_1.bin', new Uint8Array()).map((byte, i) =>
        i >= 124 && i < 135
          ? size
              .toString(8)
              .padStart(11, '0')
              .charCodeAt(i - 124)
          : byte,
      ),
    ),
    0,
  );
}

// --- pickles and PyTorch

const OPCODES = '()]}.tuasbRcQqhrjpgNKMJ\x80\x85\x86\x87\x88\x89\x8a\x8c\x93\x94\x95XUTCBSIldeG01';

/** Opcodes inserted and replaced; and values that contain themselves. */
function damagePickle(pickle: Uint8Array, random: Random): Uint8Array {
  if (random.below(3) === 0) return mutate(pickle, random);
  let damaged = text(pickle);
  for (let change = random.below(5); change >= 0; change--) {
    const at = 2 + random.below(Math.max(1, Math.min(damaged.length - 2, 4000)));
    const inserted = random.of([
      random.of([...OPCODES]),
      ']q\x00h\x00a',
      '}q\x00h\x00h\x00s',
      '(q\x01h\x01h\x01t',
      'h\x00h\x00R',
      'cos\nsystem\n(S"id"\ntR',
      ']'.repeat(1000),
      '('.repeat(1000),
      'X\xff\xff\xff\x7f',
      'ccollections\nOrderedDict\n',
    ]);
    damaged = damaged.slice(0, at) + inserted + damaged.slice(at + random.below(3));
  }
  return bytesOf(damaged);
}

const network: Network = wideResNet(
  { depth: 10, width: 1, classes: 3 },
  { seed: 1, normalization: { mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2] }, classNames: ['a', 'b', 'c'] },
);
const readWeights = (bytes: Uint8Array) => decodeNetwork(readStateDict(bytes, 'x'), 'x');
const views = unzipSync(fixture('reference/views.pt'));
const few = new Map<string, NdArray>([
  ['weight', { dtype: 'float32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
  ['half', { dtype: 'float16', shape: [2], data: Uint16Array.of(1, 2) }],
  ['steps', { dtype: 'int64', shape: [], data: BigInt64Array.of(1n) }],
]);
const torchFile = writeTorch(few);
const legacy = fixture('reference/wrn-10-1.legacy.pt');

// --- safetensors, and what is made of it

/** The header parsed, changed and written again, with JSON inside of its strings changed too. */
function damageSafetensors(file: Uint8Array, random: Random): Uint8Array {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))) as Record<
    string,
    Record<string, unknown>
  >;
  const metadata = header.__metadata__ ?? {};
  const names = Object.keys(header).filter((name) => name !== '__metadata__');
  if (random.below(3) === 0) {
    const name = random.of(names);
    header[name] = mutateJson(header[name], random) as Record<string, unknown>;
  }
  if (random.below(6) === 0) delete header[random.of(names)];
  for (const [key, value] of Object.entries(metadata)) {
    if (random.below(3) || key === 'sha256') continue;
    let inner: unknown;
    try {
      inner = JSON.parse(value as string);
    } catch {
      inner = value;
    }
    const changed = mutateJson(mutateJson(inner, random), random);
    metadata[key] = random.below(10) ? (typeof changed === 'string' ? changed : JSON.stringify(changed)) : changed;
  }
  if (random.below(10) === 0) delete metadata[random.of(Object.keys(metadata))];
  const encoded = new TextEncoder().encode(JSON.stringify(header));
  const start = new Uint8Array(8);
  new DataView(start.buffer).setBigUint64(0, BigInt(encoded.length), true);
  const body = file.slice(8 + length);
  if (random.below(3) === 0) {
    for (let change = random.below(4); change >= 0; change--) {
      new DataView(body.buffer).setFloat32(
        random.below(body.length - 4),
        random.of([Number.NaN, Number.POSITIVE_INFINITY, 1e38, -1, 0]),
        true,
      );
    }
  }
  return join(start, encoded, body);
}

/** A gate's checksum put right, so that what is behind it is reached. */
function resealed(file: Uint8Array): Uint8Array {
  const latin1 = text(file);
  const at = latin1.indexOf('"sha256":"') + '"sha256":"'.length;
  if (at < 10) return file;
  const blank = bytesOf(latin1);
  blank.set(bytesOf('0'.repeat(64)), at);
  const sealed = blank.slice();
  sealed.set(bytesOf(createHash('sha256').update(blank).digest('hex')), at);
  return sealed;
}

const scores = Float64Array.from({ length: 200 }, (_, i) => Math.sin(i));
const gateFile = await encodeGate({
  network,
  precision: 'float32',
  score: 'energy',
  accept: 0.9,
  calibration: { scores, labels: Int32Array.from(scores, (_, i) => i % 3) },
});
const velocity = new Map([...network.state].filter(([name]) => !isStatistic(name)));
const checkpointFile = encodeCheckpoint({
  state: { network, velocity, step: 3 },
  options: {
    steps: 6,
    batch: 2,
    outlierBatch: 2,
    regulariser: { kind: 'energy', mIn: -5, mOut: -1, lambda: 0.1 },
    learningRate: 0.1,
    momentum: 0.9,
    weightDecay: 5e-4,
    dropout: 0.3,
    augment: true,
    shuffle: true,
    seed: 1,
  },
  data: { inDistribution: 'a'.repeat(64), outliers: 'b'.repeat(64) },
});
const features = Float32Array.from({ length: 4 * 64 }, (_, i) => Math.sin(i));
const head = { weight: network.state.get('fc.weight')!.data, bias: network.state.get('fc.bias')!.data };
const fitFile = encodeFits(
  new Map([
    ['knn', (await fitArrays(findScore('knn'), { logits: new Float32Array(12), features, classes: 3, head }))!],
  ]),
  network,
);

// --- tar and MAT

function fixTarChecksum(archive: Uint8Array<ArrayBuffer>, at: number): Uint8Array<ArrayBuffer> {
  const header = archive.subarray(at, at + 512);
  if (header.length < 512) return archive;
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.set(bytesOf(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
  return archive;
}

/** Names that lead elsewhere, sizes that lie, other types of entries; with the checksums put right. */
function damageTar(archive: Uint8Array, random: Random): Uint8Array {
  const damaged = archive.slice();
  const headers: number[] = [];
  for (let at = 0; at + 512 <= damaged.length && damaged[at] !== 0; ) {
    headers.push(at);
    at += 512 + Math.ceil(Number.parseInt(text(damaged.subarray(at + 124, at + 135)), 8) / 512) * 512;
  }
  for (let change = random.below(3); change >= 0; change--) {
    const at = random.of(headers);
    const put = (offset: number, value: string) => damaged.set(bytesOf(value), at + offset);
    switch (random.below(5)) {
      case 0:
        put(
          0,
          random.of(['../../../tmp/evil.png\0', '/etc/passwd\0', 'a\0b', '\xff\xfe.png\0', 'CON\0', 'x'.repeat(100)]),
        );
        break;
      case 1:
        put(
          124,
          random.of([
            '77777777777',
            '00000000000',
            '-0000000001',
            '1e5        ',
            '           ',
            '\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff',
            '00000001000',
          ]),
        );
        break;
      case 2:
        put(156, random.of(['L', 'x', 'g', '1', '2', '5', 'S', '\0', 'K']));
        break;
      case 3:
        put(345, random.of(['../..\0', 'prefix\0', '\xff'.repeat(50)]));
        break;
      default:
        damaged.set(
          mutate(damaged.slice(at + 512, at + 1024), random).subarray(0, 512),
          Math.min(at + 512, damaged.length - 512),
        );
    }
    fixTarChecksum(damaged, at);
  }
  return random.below(4) ? damaged : mutate(damaged, random, 1024);
}

function matTag(type: number, size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Uint32Array.of(type, size).buffer);
}

function matElement(type: number, data: Uint8Array): Uint8Array {
  return join(matTag(type, data.length), data);
}

/** A compressed element expanded, changed and compressed again. */
function damageMat(mat: Uint8Array, random: Random): Uint8Array {
  const parts: Uint8Array[] = [mat.slice(0, 128)];
  for (let at = 128; at < mat.length; ) {
    const size = new DataView(mat.buffer, mat.byteOffset).getUint32(at + 4, true);
    const matrix = unzlibSync(mat.subarray(at + 8, at + 8 + size));
    const damaged = random.below(2) ? mutate(matrix, random, 80) : matrix;
    parts.push(random.below(4) ? matElement(15, zlibSync(damaged)) : damaged);
    at += 8 + size;
  }
  return join(...parts);
}

const images = fixture('formats/images.npy');
const imagesNpz = zipSync({
  'images.npy': images,
  'labels.npy': writeNpy({ dtype: 'uint8', shape: [3], data: Uint8Array.of(0, 1, 2) }),
});
const svhn = fixture('formats/svhn.mat');
const svhnPlain = fixture('formats/svhn-v6.mat');
const anyMat = (random: Random) =>
  either(
    random,
    () => mutate(svhn, random),
    () => mutate(svhnPlain, random, 300),
    () => damageMat(svhn, random),
    () => (random.below(50) ? damageMat(svhn, random) : mutate(matBomb, random, 160)),
  );
const python = gunzipSync(fixture('formats/cifar-10-python.tar.gz'));
const pythonTrain = gunzipSync(fixture('formats/cifar-100-python.tar.gz'));
const binary = tar(...[...cifar10Files()].map(([name, data]) => tarEntry(`cifar-10-batches-bin/${name}`, data)));
const oneBatch = tar(tarEntry('test_batch.bin', cifarBatch(1)));
const cifarPickle = pythonTrain.slice(512, 512 + Number.parseInt(text(pythonTrain.subarray(124, 135)), 8));
const picture = fixture('formats/picture.png');
const pictures = tar(tarEntry('a/1.png', picture), tarEntry('b/2.png', picture));

const fewFile = writeSafetensors(few, { a: '{"b":[1]}' });
const weightsFile = writeSafetensors(
  new Map<string, NdArray>(
    Array.from(network.state, ([name, { shape, data }]) => [name, { dtype: 'float32', shape, data }]),
  ),
  { class_names: '["a","b","c"]', normalization: '{"mean":[0,0,0],"std":[1,1,1]}' },
);

export const FORMATS: readonly Format[] = [
  {
    name: 'npz',
    damage: (random) =>
      either(
        random,
        () => mutate(stored, random),
        () => mutate(deflatedNpz, random),
        () => damageZip(deflatedNpz, damageNpy, random),
        () => damageZip(stored, (entry) => mutate(entry, random, 128), random),
        () => (random.below(100) ? mutate(stored, random, -1200) : mutate(zipBomb, random, -200)),
      ),
    read: readAllOfNpz,
  },
  {
    name: 'npy',
    damage: (random) =>
      either(
        random,
        () => damageNpy(version1, random),
        () => mutate(images, random, 128),
      ),
    read: (bytes) => readNpy(bytes, 'x'),
  },
  {
    name: 'npy of images',
    damage: (random) =>
      either(
        random,
        () => damageNpy(images, random),
        () => mutate(images, random, 128),
      ),
    read: readImages,
    onDisk: true,
  },
  {
    name: 'safetensors',
    damage: (random) =>
      either(
        random,
        () => damageSafetensors(fewFile, random),
        () => mutate(fewFile, random, 200),
      ),
    read: (bytes) => readSafetensors(bytes, 'x'),
  },
  {
    name: 'torch zip',
    damage: (random) =>
      either(
        random,
        () => mutate(torchFile, random),
        () => mutate(viewsFile, random, -600),
        () =>
          zipSync({ ...views, 'views/data.pkl': damagePickle(views['views/data.pkl']!, random).slice() }, { level: 0 }),
        () => damageZip(torchFile, (entry) => damagePickle(entry, random), random),
      ),
    read: (bytes) => readStateDict(bytes, 'x'),
  },
  {
    name: 'torch legacy',
    damage: (random) =>
      either(
        random,
        () => mutate(legacy, random, 6000),
        () => join(damagePickle(legacy.slice(0, 6000), random), legacy.subarray(6000)),
      ),
    read: readWeights,
  },
  {
    name: 'pickle',
    damage: (random) => damagePickle(cifarPickle, random),
    read: (bytes) => imageSetFromCifar(new Map([['train', bytes]]), 'train', 'x'),
  },
  {
    name: 'tar',
    damage: (random) =>
      either(
        random,
        () => damageTar(oneBatch, random),
        () => mutate(oneBatch, random, 1024),
      ),
    read: readImages,
    onDisk: true,
  },
  {
    name: 'CIFAR tar.gz',
    damage: (random) =>
      either(
        random,
        () => gzipSync(damageTar(binary, random), { level: 1 }),
        () => mutate(gzipSync(oneBatch), random),
        () =>
          random.below(50) ? gzipSync(damageTar(oneBatch, random)) : mutate(random.of([gzipBomb, tarBomb]), random, 20),
      ),
    read: readImages,
    onDisk: true,
  },
  {
    name: 'CIFAR tar.gz in memory',
    damage: (random) =>
      either(
        random,
        () => gzipSync(damageTar(oneBatch, random)),
        () => mutate(gzipSync(oneBatch), random),
        () => (random.below(50) ? mutate(gzipSync(oneBatch), random, -8) : mutate(gzipBomb, random, -8)),
      ),
    read: (bytes) => imageSetFromCifar(bytes, 'test', 'x'),
  },
  {
    name: 'CIFAR python tar.gz',
    damage: (random) =>
      gzipSync(random.below(2) ? damageTar(python, random) : damageTar(pythonTrain, random), { level: 1 }),
    read: readImages,
    onDisk: true,
  },
  {
    name: 'mat',
    damage: anyMat,
    read: readImages,
    onDisk: true,
  },
  {
    name: 'mat, streamed',
    damage: anyMat,
    read: readStreamed,
    onDisk: true,
  },
  {
    name: 'npz of images, streamed',
    damage: (random) =>
      either(
        random,
        () => mutate(imagesNpz, random, -300),
        () => damageZip(imagesNpz, damageNpy, random),
        () => damageZip(imagesNpz, (entry) => mutate(entry, random, 128), random),
        () => (random.below(50) ? mutate(imagesNpz, random) : mutate(zipBomb, random, -200)),
      ),
    read: readStreamed,
    onDisk: true,
  },
  {
    name: 'gate',
    damage: (random) =>
      either(
        random,
        () => resealed(damageSafetensors(gateFile, random)),
        () => resealed(damageSafetensors(gateFile, random)),
        () => mutate(gateFile, random, 3000),
      ),
    read: (bytes) => decodeGate(bytes, 'x'),
  },
  {
    name: 'checkpoint',
    damage: (random) =>
      either(
        random,
        () => damageSafetensors(checkpointFile, random),
        () => mutate(checkpointFile, random, 6000),
      ),
    read: (bytes) => decodeCheckpoint(bytes, 'x'),
  },
  {
    name: 'fit',
    damage: (random) =>
      either(
        random,
        () => damageSafetensors(fitFile, random),
        () => mutate(fitFile, random, 300),
      ),
    read: (bytes) => decodeFits(bytes, 'x', network),
  },
  {
    name: 'weights',
    damage: (random) => damageSafetensors(weightsFile, random),
    read: readWeights,
  },
  {
    name: 'pictures in a tar',
    damage: (random) =>
      either(
        random,
        () => damageTar(pictures, random),
        () => tar(tarEntry('a.png', mutate(picture, random))),
      ),
    read: readImages,
    onDisk: true,
  },
];
