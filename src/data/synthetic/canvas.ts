import type { Random } from '../random.js';
import { between, clamp, type Field, pick, SIZE } from './fields.js';

/** Red, green and blue, 0 to 1. */
export type Colour = readonly [number, number, number];

/** What a surface looks like: one colour going over into another where the field goes from 0 to 1. */
export interface Material {
  readonly from: Colour;
  readonly to: Colour;
  readonly blend: Field;
}

/** Each channel differs from a colour's by up to `spread`. */
export const near = (random: Random, [r, g, b]: Colour, spread: number): Colour => [
  clamp(r + between(random, -spread, spread)),
  clamp(g + between(random, -spread, spread)),
  clamp(b + between(random, -spread, spread)),
];

/** Any lightness, and some tint: as in photographs, the channels go together. */
export function anyColour(random: Random): Colour {
  const grey = random.uniform();
  return near(random, [grey, grey, grey], 0.3);
}

/** A colour lighter or darker than another by at least `contrast`, in the mean of its channels. */
export function apart(random: Random, [r, g, b]: Colour, contrast: number): Colour {
  for (;;) {
    const colour = anyColour(random);
    if (Math.abs(colour[0] + colour[1] + colour[2] - r - g - b) > 3 * contrast) return colour;
  }
}

export const plain = (colour: Colour): Material => ({ from: colour, to: colour, blend: () => 0 });

const everywhere: Field = () => 1;

/** An image being drawn: SIZE x SIZE x 3, 0 to 1 (a camera clips what is beyond). */
export class Canvas {
  readonly pixels = new Float64Array(SIZE * SIZE * 3);

  /** Lays a material over the picture, as opaque as the mask says (0 to 1); without a mask, everywhere. */
  paint({ from, to, blend }: Material, mask: Field = everywhere): this {
    for (let i = 0; i < this.pixels.length; i += 3) {
      const x = ((i / 3) % SIZE) + 0.5 - SIZE / 2;
      const y = Math.floor(i / 3 / SIZE) + 0.5 - SIZE / 2;
      const opacity = mask(x, y);
      if (opacity <= 0) continue;
      const t = blend(x, y);
      for (let c = 0; c < 3; c++) {
        const colour = from[c] + t * (to[c] - from[c]);
        this.pixels[i + c] += opacity * (colour - this.pixels[i + c]);
      }
    }
    return this;
  }

  /** The mean colour. */
  mean(): Colour {
    const sum: [number, number, number] = [0, 0, 0];
    for (let i = 0; i < this.pixels.length; i++) sum[i % 3] += this.pixels[i] / (SIZE * SIZE);
    return sum;
  }

  /** Smooths with the kernel (1, 2, 1) / 4 along both axes; beyond the edges, the edge goes on. */
  blur(): void {
    for (const stride of [3, 3 * SIZE]) {
      const source = this.pixels.slice();
      for (let i = 0; i < source.length; i++) {
        const position = Math.floor(i / stride) % SIZE;
        const before = position > 0 ? source[i - stride] : source[i];
        const after = position < SIZE - 1 ? source[i + stride] : source[i];
        this.pixels[i] = (before + 2 * source[i] + after) / 4;
      }
    }
  }

  /**
   * What a camera makes of the picture: up to two passes of blur, a random exposure and contrast, and sensor noise. Every
   * image of every set goes through it, so that none of the three tells one set from another.
   * @returns SIZE x SIZE x 3, rounded to 8 bits.
   */
  photograph(random: Random): Uint8Array {
    for (let pass = pick(random, [0, 0, 0, 1, 1, 2]); pass > 0; pass--) this.blur();
    const contrast = between(random, 0.6, 1.15);
    const brightness = between(random, -0.15, 0.15);
    const grain = between(random, 0, 0.05);
    const bytes = new Uint8Array(this.pixels.length);
    for (let i = 0; i < bytes.length; i += 3) {
      // Three bytes of a random word for the channels and one for all: each sum has mean 255, standard deviation 104.5.
      const word = random.uint32();
      for (let c = 0; c < 3; c++) {
        const sum = (word >>> 24) + ((word >>> (8 * c)) & 0xff);
        const seen = 0.5 + contrast * (this.pixels[i + c] - 0.5) + brightness + (grain * (sum - 255)) / 104.5;
        bytes[i + c] = Math.floor(255 * clamp(seen) + 0.5);
      }
    }
    return bytes;
  }
}

/** Draws one picture, and all in it, from a stream of random numbers. */
export type Painter = (random: Random) => Canvas;
