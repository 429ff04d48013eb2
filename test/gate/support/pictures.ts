import type { Picture } from '../../../src/gate/resize.js';

/** The picture that test/fixtures/resize/make.py gave to Pillow, as RGB. */
export function formulaPicture(width: number, height: number): Picture {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) {
        data[(y * width + x) * 3 + c] = (x * x * 7 + y * 13 + x * y * 3 + c * 50 + Math.floor(x / 8) * 90) % 256;
      }
    }
  }
  return { data, width, height };
}
