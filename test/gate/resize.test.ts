import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../src/errors.js';
import { readNpz } from '../../src/formats/npz.js';
import { fitPicture } from '../../src/gate/resize.js';
import { formulaPicture } from './support/pictures.js';

/** Pillow's results (test/fixtures/resize/make.py), by size. */
const pillow = readNpz(
  new Uint8Array(readFileSync(new URL('../fixtures/resize/pillow.npz', import.meta.url))),
  'pillow.npz',
);

describe('fitPicture', () => {
  it.each(pillow.names)('%s gives Pillow’s bytes', (name) => {
    const [width, height] = name.split('x').map(Number) as [number, number];
    const picture = formulaPicture(width, height);
    expect(fitPicture(picture, 32)).toEqual(new Uint8Array(pillow.get(name).data as Uint8Array));
  });

  it('RGBA that is opaque is its RGB; what is transparent is laid on black', () => {
    const { data, width, height } = formulaPicture(33, 47);
    const rgba = (alpha: number) =>
      Uint8ClampedArray.from({ length: width * height * 4 }, (_, i) =>
        i % 4 === 3 ? alpha : data[Math.floor(i / 4) * 3 + (i % 4)]!,
      );
    const opaque = fitPicture({ data, width, height }, 32);
    expect(fitPicture({ data: rgba(255), width, height }, 32)).toEqual(opaque);
    expect(fitPicture({ data: rgba(0), width, height }, 32)).toEqual(new Uint8Array(3072));
    const half = data.map((value) => Math.round((value * 51) / 255));
    expect(fitPicture({ data: rgba(51), width, height }, 32)).toEqual(fitPicture({ data: half, width, height }, 32));
  });

  it('refuses bytes that are not of this size', () => {
    const refused = (length: number, width: number, height: number) => () =>
      fitPicture({ data: new Uint8Array(length), width, height }, 32);
    expect(refused(10, 2, 2)).toThrow('a picture of 2 x 2 has 12 bytes of RGB or 16 of RGBA, but 10 were given');
    expect(refused(0, 0, 0)).toThrow(DataError);
    expect(refused(12, 1.5, 2)).toThrow(DataError);
    expect(refused(12, -2, -2)).toThrow(DataError);
  });
});
