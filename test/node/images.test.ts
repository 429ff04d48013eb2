import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'fflate';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gatherImages, isInMemory, loadImages, readImages, subset } from '../../src/data/image-set.js';
import { writeNpy } from '../../src/formats/npy.js';
import { writeNpz } from '../../src/formats/npz.js';
import { readImageSet } from '../../src/node/images.js';
import { cifar10Files, pixel, tar, tarEntry } from '../formats/support/cifar.js';
import { expectRefusal } from '../support/refusal.js';
import { sparseNpy } from '../support/sparse.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'energate-'));
});
afterEach(() => rm(folder, { recursive: true }));

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/formats/${name}`, import.meta.url));

/** The made-up images of make.py and support/cifar.ts, as pixels. */
const made = (...images: number[]) =>
  Uint8Array.from(
    images.flatMap((image) => Array.from({ length: 3072 }, (_, i) => pixel(image, i % 3, Math.floor(i / 3)))),
  );

describe('arrays', () => {
  it('an .npz, whatever its name', async () => {
    const images = { dtype: 'uint8', shape: [1, 32, 32, 3], data: made(5) } as const;
    await writeFile(join(folder, 'set'), writeNpz({ images }));
    expect(await readImageSet(join(folder, 'set'))).toMatchObject({ name: 'set', count: 1, images: images.data });
  });

  it('a .npy that NumPy wrote', async () => {
    const set = await readImageSet(fixture('images.npy'));
    expect(set).toMatchObject({ name: 'images', count: 3, height: 32, width: 32, images: made(0, 1, 2) });
    expect(set.labels).toBeUndefined();
  });

  it('refuses a .npy of another shape, cut short, or in Fortran order', async () => {
    await expectRefusal(
      readImageSet(fixture('version1.npy')),
      /version1\.npy: images must be uint8 N x 32 x 32 x 3, but are float32 2 x 3 x 4/,
    );
    const bytes = await readFile(fixture('images.npy'));
    await writeFile(join(folder, 'a.npy'), bytes);
    await truncate(join(folder, 'a.npy'), 5000);
    await expectRefusal(
      readImageSet(join(folder, 'a.npy')),
      /a\.npy holds 4872 bytes where uint8 \[3, 32, 32, 3\] takes 9216/,
    );
    const fortran = bytes.toString('latin1').replace("'fortran_order': False", "'fortran_order': True ");
    await writeFile(join(folder, 'f.npy'), fortran, 'latin1');
    await expectRefusal(
      readImageSet(join(folder, 'f.npy')),
      /f\.npy is in Fortran order; save numpy\.ascontiguousarray/,
    );
    const none = writeNpy({ dtype: 'uint8', shape: [0, 32, 32, 3], data: new Uint8Array() });
    await writeFile(join(folder, 'none.npy'), none);
    await expectRefusal(readImageSet(join(folder, 'none.npy')), /images holds no image/);
  });

  it('a .npy of more than 65,536 images is left where it is, and read in any order', async () => {
    const path = join(folder, 'large.npy');
    const count = 100_000;
    const file = await sparseNpy(path, count);
    for (const image of [7, 500, 99_999]) await file.write(made(image % 256), 0, 3072, 128 + image * 3072);
    await file.close();
    const set = await readImageSet(path);
    expect(isInMemory(set)).toBe(false);
    expect(set).toMatchObject({ name: 'large', count });
    expect(await readImages(set, 6, 3)).toEqual(
      Uint8Array.from([...new Uint8Array(3072), ...made(7), ...new Uint8Array(3072)]),
    );
    expect(await gatherImages(set, Uint32Array.of(99_999, 7, 500, 7))).toEqual(made(99_999 % 256, 7, 500 % 256, 7));
    const part = subset(set, 499, 2);
    expect(await readImages(part, 1, 1)).toEqual(made(500 % 256));
    expect(await gatherImages(part, Uint32Array.of(1))).toEqual(made(500 % 256));
    await truncate(path, 128 + 3072 * 1000);
    await expectRefusal(readImages(set, 99_999, 1), /large\.npy has become shorter while it was read/);
  });

  it.each(['svhn.mat', 'svhn-v6.mat'])('SVHN as SciPy wrote it: %s', async (name) => {
    const set = await readImageSet(fixture(name));
    expect(set).toMatchObject({ count: 3, images: made(1, 9, 10), labels: Int32Array.of(1, 9, 0) });
    expect(set.classNames).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
  });
});

describe('CIFAR', () => {
  it('binary, as a folder and as a .tar.gz, either split', async () => {
    const files = cifar10Files();
    const archive = join(folder, 'cifar.tar.gz');
    await writeFile(archive, gzipSync(tar(...[...files].map(([name, data]) => tarEntry(name, data)))));
    await mkdir(join(folder, 'cifar'));
    for (const [name, data] of files) await writeFile(join(folder, 'cifar', name), data);
    for (const path of [archive, join(folder, 'cifar')]) {
      expect(await readImageSet(path)).toMatchObject({ name: 'cifar-train', count: 10 });
      expect((await readImageSet(path, { split: 'test' })).labels).toEqual(Int32Array.of(8, 9));
    }
  });

  it.each(['cifar-10-python', 'cifar-10-python3', 'cifar-10-python3-protocol4'])('10, python: %s', async (name) => {
    const train = await readImageSet(fixture(`${name}.tar.gz`));
    expect(train).toMatchObject({ name: `${name}-train`, images: made(1, 2, 2, 3, 3, 4, 4, 5, 5, 6) });
    expect([...train.labels!]).toEqual([1, 2, 2, 3, 3, 4, 4, 5, 5, 6]);
    const test = await readImageSet(fixture(`${name}.tar.gz`), { split: 'test' });
    expect(test).toMatchObject({ images: made(8, 9), labels: Int32Array.of(8, 9) });
    if (name === 'cifar-10-python') expect(test.classNames!.slice(0, 3)).toEqual(['airplane', 'automobile', 'bird']);
  });

  it('100, python: the fine labels, and their names', async () => {
    const train = await readImageSet(fixture('cifar-100-python.tar.gz'));
    expect(train).toMatchObject({ images: made(19, 99), labels: Int32Array.of(19, 99) });
    expect(train.classNames![99]).toBe('class 99');
    const test = await readImageSet(fixture('cifar-100-python.tar.gz'), { split: 'test' });
    expect([...test.labels!]).toEqual([3, 4]);
  });

  it('refuses an archive cut short, or damaged', async () => {
    const bytes = await readFile(fixture('cifar-10-python.tar.gz'));
    for (const length of [3, 20, bytes.length >> 1, bytes.length - 1]) {
      await writeFile(join(folder, 'c.tar.gz'), bytes.subarray(0, length));
      await expectRefusal(
        readImageSet(join(folder, 'c.tar.gz')),
        /c\.tar\.gz is (damaged or cut short|a tar archive cut short)/,
      );
    }
    bytes[bytes.length >> 1]! ^= 4;
    await writeFile(join(folder, 'c.tar.gz'), bytes);
    await expectRefusal(
      readImageSet(join(folder, 'c.tar.gz')),
      /c\.tar\.gz is damaged|c\.tar\.gz is not a tar archive/,
    );
  });

  it('refuses an archive of something else', async () => {
    await writeFile(join(folder, 'c.tar.gz'), gzipSync(tar(tarEntry('readme', made(1)))));
    await expectRefusal(
      readImageSet(join(folder, 'c.tar.gz')),
      /c\.tar\.gz holds neither CIFAR nor pictures: \.png, \.jpg, \.jpeg, \.webp are read$/,
    );
    await writeFile(join(folder, 'c.tar.gz'), gzipSync(new Uint8Array(2000).fill(7)));
    await expectRefusal(readImageSet(join(folder, 'c.tar.gz')), /not a tar archive, or damaged at byte 0/);
  });
});

describe('pictures', () => {
  const png = (image: number) =>
    sharp(made(image), { raw: { width: 32, height: 32, channels: 3 } })
      .png()
      .toBuffer();
  const flat = (width: number, height: number, color: string) =>
    sharp({ create: { width, height, channels: 3, background: color } });

  it('of 32 x 32 are taken as they are, in the order of their names', async () => {
    await writeFile(join(folder, 'b.png'), await png(2));
    await writeFile(join(folder, 'a.PNG'), await png(1));
    await writeFile(join(folder, 'notes.txt'), 'no picture');
    const set = await readImageSet(folder);
    expect(set).toMatchObject({ count: 2, images: made(1, 2) });
    expect(set.labels).toBeUndefined();
    expect(await readImageSet(join(folder, 'b.png'))).toMatchObject({ name: 'b', count: 1, images: made(2) });
  });

  it('of any size and kind: the short side to 32, the middle of the long one', async () => {
    // Red, green and blue thirds: the middle of 96 x 32 is the green one.
    const thirds = await flat(96, 32, '#f00')
      .composite([
        { input: await flat(32, 32, '#0f0').png().toBuffer(), left: 32, top: 0 },
        { input: await flat(32, 32, '#00f').png().toBuffer(), left: 64, top: 0 },
      ])
      .png()
      .toBuffer();
    await writeFile(join(folder, '1.png'), thirds);
    await writeFile(join(folder, '2.webp'), await flat(50, 70, '#804020').webp({ lossless: true }).toBuffer());
    await writeFile(join(folder, '3.jpg'), await flat(640, 480, '#fff').jpeg().toBuffer());
    const { images } = await loadImages(await readImageSet(folder));
    const flatImage = (...rgb: number[]) => Uint8Array.from({ length: 3072 }, (_, i) => rgb[i % 3]!);
    expect(images.subarray(0, 3072)).toEqual(flatImage(0, 255, 0));
    expect(images.subarray(3072, 6144)).toEqual(flatImage(0x80, 0x40, 0x20));
    expect(images.subarray(6144)).toEqual(flatImage(255, 255, 255));
  });

  it('in subfolders have these as classes, also in an archive below others', async () => {
    const files: [string, Buffer][] = [
      ['dotted/x.png', await png(3)],
      ['banded/y.png', await png(1)],
      ['banded/x.png', await png(2)],
    ];
    for (const [name, data] of files) {
      await mkdir(join(folder, name, '..'), { recursive: true });
      await writeFile(join(folder, name), data);
    }
    const wanted = { images: made(2, 1, 3), labels: Int32Array.of(0, 0, 1), classNames: ['banded', 'dotted'] };
    expect(await readImageSet(folder)).toMatchObject(wanted);
    const archive = tar(
      tarEntry('dtd/labels/train1.txt', new Uint8Array(10)),
      tarEntry('dtd/images/banded/._x.png', new Uint8Array(10)),
      ...files.map(([name, data]) => tarEntry(`dtd/images/${name}`, data)),
    );
    for (const [name, bytes] of [
      ['dtd.tar.gz', gzipSync(archive)],
      ['dtd.tar', archive],
    ] as const) {
      await writeFile(join(folder, name), bytes);
      expect(await readImageSet(join(folder, name)), name).toMatchObject({ name: 'dtd', ...wanted });
    }
  });

  it('have labels from links to folders, too', async () => {
    await mkdir(join(folder, 'all/cats'), { recursive: true });
    await mkdir(join(folder, 'set/dogs'), { recursive: true });
    await writeFile(join(folder, 'all/cats/x.png'), await png(1));
    await writeFile(join(folder, 'set/dogs/x.png'), await png(2));
    await symlink('../all/cats', join(folder, 'set/cats'));
    expect(await readImageSet(join(folder, 'set'))).toMatchObject({
      images: made(1, 2),
      labels: Int32Array.of(0, 1),
      classNames: ['cats', 'dogs'],
    });
  });

  it('are in one order, in a folder and in an archive', async () => {
    const names = ['a-b/x.png', 'a.png', 'a/z.png', 'a/b/x.png'];
    const entries: Uint8Array[] = [];
    for (const [i, name] of names.entries()) {
      await mkdir(join(folder, 'set', name, '..'), { recursive: true });
      await writeFile(join(folder, 'set', name), await png(i));
      entries.push(tarEntry(name, await png(i)));
    }
    await writeFile(join(folder, 'set.tar'), tar(...entries));
    for (const set of ['set', 'set.tar']) {
      expect(await readImageSet(join(folder, set)), set).toMatchObject({ images: made(3, 2, 0, 1) });
    }
  });

  it('never leave an archive, whatever their names say', async () => {
    const names = ['../up.png', '/absolute.png', 'a/../../../b.png'];
    const archive = join(folder, 'evil.tar');
    await writeFile(archive, tar(...(await Promise.all(names.map(async (name) => tarEntry(name, await png(1)))))));
    expect(await readImageSet(archive)).toMatchObject({ count: 3 });
    await expect(readFile(join(folder, '..', 'up.png'))).rejects.toThrow('ENOENT');
    await expect(readFile('/absolute.png')).rejects.toThrow('ENOENT');
  });

  it('refuses a damaged one, naming it', async () => {
    await mkdir(join(folder, 'set'));
    await writeFile(join(folder, 'set', 'a.png'), (await png(1)).subarray(0, 100));
    await expectRefusal(readImageSet(join(folder, 'set')), /a\.png cannot be decoded .*: the file is damaged/);
    await writeFile(join(folder, 'set.tar'), tar(tarEntry('b.png', (await png(1)).subarray(0, 100))));
    await expectRefusal(readImageSet(join(folder, 'set.tar')), /b\.png cannot be decoded/);
  });
});

it('refuses something else', async () => {
  await writeFile(join(folder, 'a.bin'), Uint8Array.of(1, 2, 3));
  await expectRefusal(
    readImageSet(join(folder, 'a.bin')),
    /a\.bin is not an image set; give \.npz, \.npy, SVHN \.mat, CIFAR/,
  );
  await writeFile(join(folder, 'empty'), new Uint8Array());
  await expectRefusal(readImageSet(join(folder, 'empty')), /empty is not an image set/);
  await expectRefusal(readImageSet(join(folder, 'none')), /there is no such file or folder/);
  await mkdir(join(folder, 'bare'));
  await expectRefusal(readImageSet(join(folder, 'bare')), /bare holds no picture/);
});
