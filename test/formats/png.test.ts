import { expect, it } from 'vitest';
import { encodePng } from '../../src/formats/png.js';
import { noise } from '../support/numbers.js';

const sharp = await import('sharp').then(
  (module) => module.default,
  () => undefined,
);

it.skipIf(!sharp).each([
  ['one pixel', 1, 1],
  ['a row', 5, 1],
  ['a column', 1, 7],
  ['an image', 32, 32],
  ['not square', 9, 4],
])('%s: sharp reads the same pixels', async (_, width, height) => {
  const pixels = Uint8Array.from(noise(width * height * 3, width), (value) => Math.floor(128 + 127 * value));
  const { data, info } = await sharp!(encodePng(pixels, width, height))
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect(info).toMatchObject({ width, height, channels: 3 });
  expect([...data]).toEqual([...pixels]);
});

it('says in its header what it is, and ends', () => {
  const file = encodePng(new Uint8Array(12), 2, 2);
  expect([...file.subarray(0, 8)]).toEqual([137, 80, 78, 71, 13, 10, 26, 10]);
  // Of nothing, PNG's last chunk is always these bytes: its CRC is in the specification.
  expect([...file.subarray(-12)]).toEqual([0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82]);
});
