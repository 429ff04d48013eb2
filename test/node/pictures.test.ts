import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodePicture, listPictures, readPicture } from '../../src/node/pictures.js';
import { formulaPicture } from '../gate/support/pictures.js';

let folder = '';
const path = (name: string) => join(folder, name);
const { data, width, height } = formulaPicture(33, 47);
const raw = sharp(data, { raw: { width, height, channels: 3 } });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'energate-pictures-'));
  mkdirSync(path('set/cats'), { recursive: true });
  mkdirSync(path('empty'));
  const png = await raw.clone().png().toBuffer();
  for (const name of ['set/b.PNG', 'set/a.jpg', 'set/cats/c.webp', 'set/.hidden.png']) writeFileSync(path(name), png);
  writeFileSync(path('set/notes.txt'), 'no picture');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a picture file', () => {
  it.each(['png', 'webp'] as const)('%s without loss gives its pixels', async (format) => {
    const bytes = await raw.clone()[format]({ lossless: true }).toBuffer();
    expect(await decodePicture(bytes, 'x')).toEqual({ data: Buffer.from(data), width, height });
  });

  it('a JPEG of one colour gives it', async () => {
    const jpeg = await sharp({ create: { width: 20, height: 10, channels: 3, background: '#4080c0' } })
      .jpeg({ quality: 100 })
      .toBuffer();
    const picture = await decodePicture(jpeg, 'x');
    expect([picture.width, picture.height, picture.data.length]).toEqual([20, 10, 600]);
    for (let c = 0; c < 3; c++) expect(Math.abs(picture.data[c]! - [0x40, 0x80, 0xc0][c]!)).toBeLessThanOrEqual(2);
  });

  it('is turned as its EXIF says', async () => {
    const turned = await raw.clone().withMetadata({ orientation: 6 }).png().toBuffer();
    const picture = await decodePicture(turned, 'x');
    expect([picture.width, picture.height]).toEqual([height, width]);
    // Orientation 6: the first row is the right-hand column, top down.
    const topRight = (picture.width - 1) * 3;
    expect([...picture.data.slice(topRight, topRight + 3)]).toEqual([...data.slice(0, 3)]);
  });

  it('in grey, with 16 bits or with transparency becomes 8-bit RGB on black', async () => {
    const grey = await sharp(Buffer.from([10, 200]), { raw: { width: 2, height: 1, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    expect([...(await decodePicture(grey, 'x')).data]).toEqual([10, 10, 10, 200, 200, 200]);
    const deep = await sharp(Uint16Array.of(0, 65535, 32896), { raw: { width: 1, height: 1, channels: 3 } })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    expect([...(await decodePicture(deep, 'x')).data]).toEqual([0, 255, 128]);
    const clear = await sharp(Buffer.from([100, 200, 50, 255, 100, 200, 50, 51, 100, 200, 50, 0]), {
      raw: { width: 3, height: 1, channels: 4 },
    })
      .png()
      .toBuffer();
    expect([...(await decodePicture(clear, 'x')).data]).toEqual([100, 200, 50, 20, 40, 10, 0, 0, 0]);
  });

  it('is refused in one line where it is damaged, or no picture', async () => {
    const png = await raw.clone().png().toBuffer();
    await expect(decodePicture(png.subarray(0, 600), 'cut.png')).rejects.toThrow(
      /^cut\.png cannot be decoded \([^\n]+\): the file is damaged, save it again$/,
    );
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>');
    await expect(decodePicture(svg, 'a.png')).rejects.toThrow(
      'a.png is not a picture: its bytes are neither PNG, JPEG nor WebP; convert it to one',
    );
    await expect(readPicture(path('none.png'))).rejects.toThrow(/^cannot read .*none\.png: there is no such file/);
  });
});

describe('listPictures', () => {
  it('gives a file, or all under a folder by name', async () => {
    expect(await listPictures(path('set/a.jpg'))).toEqual([path('set/a.jpg')]);
    expect(await listPictures(path('set'))).toEqual(['set/a.jpg', 'set/b.PNG', 'set/cats/c.webp'].map(path));
  });

  it('goes where links lead, but not round', async () => {
    mkdirSync(path('linked'));
    symlinkSync(path('set/cats'), path('linked/dogs'));
    symlinkSync(path('set/a.jpg'), path('linked/a.jpg'));
    symlinkSync('..', path('linked/up'));
    symlinkSync('none', path('linked/dangling'));
    const found = await listPictures(path('linked'));
    expect(found).toContain(path('linked/dogs/c.webp'));
    expect(found).toContain(path('linked/a.jpg'));
    expect(found).toContain(path('linked/up/set/a.jpg'));
    expect(found.filter((name) => name.includes('up/linked'))).toEqual([]);
    rmSync(path('linked'), { recursive: true });
  });

  it('refuses what holds none', async () => {
    await expect(listPictures(path('none'))).rejects.toThrow(/^cannot read .*none: there is no such file or folder/);
    await expect(listPictures(path('empty'))).rejects.toThrow(/empty holds no picture: \.png, \.jpg, \.jpeg, \.webp/);
    await expect(listPictures(path('set/notes.txt'))).rejects.toThrow(/notes\.txt is not a picture: give \.png/);
  });
});
