import { describe, expect, it } from 'vitest';
import { CROP_PADDING, gatherImages } from '../../src/kernels/gather-images.js';
import { output, runKernel } from '../support/gpu.js';
import { expectClose } from '../support/numbers.js';
import { random4 } from '../support/pcg.js';

/** One fused multiply and add; 1 / (255 std) is rounded once. */
const TOLERANCE = 1e-6;

const normalization = { mean: [0.49, 0.48, 0.45], std: [0.25, 0.24, 0.26] } as const;
const COUNT = 6;
const INDICES = Uint32Array.of(5, 0, 4, 3, 3);
const [STEP, SEED, STREAM] = [21, 4000000000, 1];

/** Pixels without a pattern, as bytes padded to whole words. */
function imagesOf(height: number, width: number): Uint8Array {
  const size = COUNT * height * width * 3;
  const bytes = new Uint8Array(Math.ceil(size / 4) * 4);
  for (let i = 0; i < size; i++) bytes[i] = Math.imul(i + 1, 2654435761) >>> 24;
  return bytes;
}

const words = (bytes: Uint8Array) => new Uint32Array(bytes.slice().buffer);

/** The batch by its definition: pad with black, flip, crop, normalise. */
function reference(images: Uint8Array, height: number, width: number, augment: boolean): Float64Array {
  const batch: number[] = [];
  for (const [row, image] of INDICES.entries()) {
    const [down, right, coin] = random4(row, STEP, STREAM, SEED);
    const span = 2 * CROP_PADDING + 1;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const fromY = augment ? y + (down % span) - CROP_PADDING : y;
        const cropped = augment ? x + (right % span) - CROP_PADDING : x;
        const fromX = augment && coin % 2 === 1 ? width - 1 - cropped : cropped;
        const inside = fromY >= 0 && fromY < height && fromX >= 0 && fromX < width;
        for (let c = 0; c < 3; c++) {
          const pixel = inside ? images[((image * height + fromY) * width + fromX) * 3 + c]! : 0;
          batch.push((pixel / 255 - normalization.mean[c]!) / normalization.std[c]!);
        }
      }
    }
  }
  return Float64Array.from(batch);
}

describe.each([
  { height: 32, width: 32 },
  { height: 7, width: 5 },
  { height: 1, width: 1 },
])('images of $height x $width', ({ height, width }) => {
  const images = imagesOf(height, width);
  const shape = { rows: INDICES.length, first: 0, start: 0, count: COUNT, height, width };
  const size = INDICES.length * height * width * 3;
  const step = Uint32Array.of(STEP, SEED);

  it.each([false, true])('gathered by index and normalised, augmented: %s', async (augment) => {
    const { y } = await runKernel({ data: words(images), indices: INDICES, step, y: output(size) }, (names) =>
      gatherImages(shape, { normalization, augment, stream: STREAM }, names),
    );
    expectClose(y, reference(images, height, width, augment), TOLERANCE);
  });

  it('from a set in two buffers, behind rows of another source', async () => {
    const cut = 4;
    // Images begin at whole words only where four of them are together.
    const bytes = cut * height * width * 3;
    const first = 2;
    const offset = first * height * width * 3;
    const options = { normalization, augment: true, stream: STREAM };
    const parts = [
      { data: 'front', shape: { ...shape, first, count: cut } },
      { data: 'back', shape: { ...shape, first, start: cut, count: COUNT - cut } },
    ] as const;
    // In either order: neither may write a row of the other.
    const { y, reversed } = await runKernel(
      {
        front: words(images.subarray(0, bytes)),
        back: words(images.subarray(bytes)),
        indices: INDICES,
        step,
        y: new Float32Array(offset + size),
        reversed: new Float32Array(offset + size),
      },
      (names) => [
        ...parts.map(({ data, shape }) => gatherImages(shape, options, { ...names, data: names[data] })),
        ...parts
          .toReversed()
          .map(({ data, shape }) => gatherImages(shape, options, { ...names, data: names[data], y: names.reversed })),
      ],
    );
    expect(y.subarray(0, offset)).toEqual(new Float32Array(offset));
    expectClose(y.subarray(offset), reference(images, height, width, true), TOLERANCE);
    expect(reversed).toEqual(y);
  });
});

it('flips in half of the cases, and crops evenly over all offsets', () => {
  const draws = Array.from({ length: 9000 }, (_, row) => random4(row, STEP, STREAM, SEED));
  const flips = draws.filter(([, , coin]) => coin % 2 === 1).length;
  expect(Math.abs(flips / draws.length - 0.5)).toBeLessThan(0.03);
  for (const axis of [0, 1]) {
    const counts = new Array(9).fill(0);
    for (const draw of draws) counts[draw[axis]! % 9]++;
    expect(Math.min(...counts)).toBeGreaterThan(850);
    expect(Math.max(...counts)).toBeLessThan(1150);
  }
});
