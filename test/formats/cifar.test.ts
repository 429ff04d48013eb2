import { gzipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../src/errors.js';
import { readCifar, readCifarArchive } from '../../src/formats/cifar.js';
import { readTar } from '../../src/formats/tar.js';
import { cifar10Files, cifarBatch, pixel, tar, tarEntry } from './support/cifar.js';

function expectPixels(images: Uint8Array, labels: Int32Array): void {
  labels.forEach((label, image) => {
    for (const position of [0, 1, 31, 32, 1023]) {
      for (const channel of [0, 1, 2]) {
        expect(images[(image * 1024 + position) * 3 + channel]).toBe(pixel(label, channel, position));
      }
    }
  });
}

describe('readCifar', () => {
  it('CIFAR-10: the five batches in order, planes to pixels', () => {
    const { images, labels, classNames } = readCifar(cifar10Files(), 'train', 'cifar');
    expect([...labels]).toEqual([1, 2, 2, 3, 3, 4, 4, 5, 5, 6]);
    expect(images).toHaveLength(10 * 3072);
    expectPixels(images, labels);
    expect(classNames).toEqual(['airplane', 'automobile']);
  });

  it('CIFAR-10: the test batch', () => {
    expect([...readCifar(cifar10Files(), 'test', 'cifar').labels]).toEqual([8, 9]);
  });

  it('CIFAR-100: the fine label', () => {
    const files = new Map([['train.bin', cifarBatch(98, 19)]]);
    const { images, labels, classNames } = readCifar(files, 'train', 'cifar');
    expect([...labels]).toEqual([98, 99]);
    expectPixels(images, labels);
    expect(classNames).toBeUndefined();
  });

  it.each<[string, (files: Map<string, Uint8Array>) => void, RegExp]>([
    [
      'a folder without the split',
      (files) => files.clear(),
      /cifar holds no train split of CIFAR \(none of data_batch_1/,
    ],
    ['a missing batch', (files) => files.delete('data_batch_3.bin'), /cifar lacks data_batch_3\.bin/],
    [
      'a batch cut short',
      (files) => files.set('data_batch_2.bin', cifarBatch(1).subarray(0, 5000)),
      /data_batch_2\.bin has 5000 bytes, not a multiple of 3073/,
    ],
    ['an empty batch', (files) => files.set('data_batch_1.bin', new Uint8Array()), /has 0 bytes/],
    [
      'a label out of range',
      (files) => files.set('data_batch_5.bin', cifarBatch(9)),
      /data_batch_5\.bin has label 10 of 10/,
    ],
  ])('refuses %s', (_, change, message) => {
    const files = cifar10Files();
    change(files);
    expect(() => readCifar(files, 'train', 'cifar')).toThrow(DataError);
    expect(() => readCifar(files, 'train', 'cifar')).toThrow(message);
  });
});

describe('readCifarArchive', () => {
  const archive = () => {
    const entries = [...cifar10Files()].map(([name, data]) => tarEntry(`cifar-10-batches-bin/${name}`, data));
    return gzipSync(tar(tarEntry('cifar-10-batches-bin/', new Uint8Array(), '5'), ...entries), { level: 1 });
  };

  it('gives the same as the folder', () => {
    expect(readCifarArchive(archive(), 'train', 'c.tar.gz')).toEqual(readCifar(cifar10Files(), 'train', 'cifar'));
  });

  it('refuses a damaged or truncated archive', () => {
    const bytes = archive();
    const message = /c\.tar\.gz is damaged or cut short \(its checksum does not match\)/;
    for (const length of [0, 10, 17, 18, bytes.length / 2, bytes.length - 1]) {
      expect(() => readCifarArchive(bytes.subarray(0, length), 'train', 'c.tar.gz')).toThrow(message);
    }
    bytes[Math.floor(bytes.length / 2)] ^= 4;
    expect(() => readCifarArchive(bytes, 'train', 'c.tar.gz')).toThrow(message);
  });

  it('refuses a gzip file that is no tar archive', () => {
    const bytes = gzipSync(new Uint8Array(2000).fill(7));
    expect(() => readCifarArchive(bytes, 'train', 'c.tar.gz')).toThrow(/not a tar archive, or damaged at byte 0/);
  });
});

describe('readTar', () => {
  const data = Uint8Array.of(1, 2, 3);
  const long = `${'folder/'.repeat(30)}file.bin`;
  const text = (string: string) => new TextEncoder().encode(string);

  it('long names, of GNU tar and of pax', () => {
    const record = ` path=${long}\n`;
    const gnu = tar(tarEntry('././@LongLink', text(`${long}\0`), 'L'), tarEntry('short', data), tarEntry('b', data));
    const pax = tar(
      tarEntry('PaxHeader', text(`${record.length + 3}${record}`), 'x'),
      tarEntry('short', data),
      tarEntry('b', data),
    );
    for (const bytes of [gnu, pax])
      expect([...readTar(bytes, 'x.tar')]).toEqual([
        [long, data],
        ['b', data],
      ]);
  });

  it('refuses a header or a file cut short, and a changed header', () => {
    const bytes = tar(tarEntry('a', data));
    expect(() => readTar(bytes.subarray(0, 100), 'x.tar')).toThrow(/x\.tar is a tar archive cut short/);
    expect(() => readTar(bytes.subarray(0, 514), 'x.tar')).toThrow(/x\.tar is cut short within a/);
    expect(() => readTar(bytes.subarray(0, 1024), 'x.tar')).toThrow(/is a tar archive cut short/);
    bytes[0] ^= 1;
    expect(() => readTar(bytes, 'x.tar')).toThrow(/damaged at byte 0/);
  });
});
