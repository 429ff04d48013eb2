import { describe, expect, it } from 'vitest';
import { best, holdOut, type PairResult, pairsOf, validationOf } from '../../src/cli/grid.js';
import { gatherImages, type ImageSet, type Images, isInMemory, loadImages } from '../../src/data/image-set.js';
import { VALIDATION_FAMILIES } from '../../src/data/validation-outliers.js';
import { asSource } from '../support/sources.js';

const pair = (fpr95: number, auroc = 0.5): PairResult => ({
  mIn: -23,
  mOut: -5,
  fpr95,
  auroc,
  accuracy: 1,
  families: {},
});
/** Image n is n all over, and of class n mod 10. */
const set = (count: number): ImageSet => ({
  name: 'made',
  images: Uint8Array.from({ length: count * 3072 }, (_, i) => Math.floor(i / 3072)),
  count,
  height: 32,
  width: 32,
  labels: Int32Array.from({ length: count }, (_, n) => n % 10),
});
const numbersIn = async (set: Images) => {
  const { images, count } = await loadImages(set);
  return Array.from({ length: count }, (_, n) => images[n * 3072]!);
};

describe('the choice among pairs', () => {
  it.each<[string, PairResult[], number]>([
    ['the lowest FPR95, whatever its AUROC', [pair(0.3, 0.9), pair(0.2, 0.1), pair(0.4, 0.8)], 1],
    ['of equals the higher AUROC', [pair(0.3), pair(0.2, 0.6), pair(0.2, 0.7), pair(0.2, 0.65)], 2],
    ['of these the first', [pair(0.3), pair(0.2, 0.7), pair(0.2, 0.7)], 1],
  ])('%s', (_, results, index) => {
    expect(best(results)).toBe(index);
  });
});

it('pairs: every m_in with every m_out, and none the wrong way round', () => {
  expect(pairsOf([-23, -19], [-5, -3]).map(({ mIn, mOut }) => [mIn, mOut])).toEqual([
    [-23, -5],
    [-23, -3],
    [-19, -5],
    [-19, -3],
  ]);
  expect(() => pairsOf([-23, -4], [-5, -3])).toThrow('--m-in -4 must be below --m-out -5');
});

describe('images that are held out', () => {
  it.each([
    ['memory', set(200)],
    ['a file', asSource(set(200))],
  ])('are a tenth, apart from the rest, with their labels, decided by the seed; of images in %s', async (_, images) => {
    const { held, rest } = await holdOut(images, 1);
    expect([held.count, rest.count]).toEqual([20, 180]);
    const numbers = [await numbersIn(held), await numbersIn(rest)] as const;
    expect(numbers.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, n) => n));
    for (const [i, part] of [held, rest].entries()) expect([...part.labels!]).toEqual(numbers[i]!.map((n) => n % 10));
    expect(numbers[0]).not.toEqual(Array.from({ length: 20 }, (_, n) => n));
    expect(await numbersIn((await holdOut(images, 1)).held)).toEqual(numbers[0]);
    expect(await numbersIn((await holdOut(images, 2)).held)).not.toEqual(numbers[0]);
    // By number, as training takes them.
    const rows = Uint32Array.of(179, 3, 3);
    const taken = await gatherImages(rest, rows);
    expect(Array.from(rows, (_, i) => taken[i * 3072]!)).toEqual(Array.from(rows, (row) => numbers[1]![row]!));
    expect(isInMemory(rest)).toBe(isInMemory(images));
  });

  it('are two at least', async () => {
    await expect(holdOut(set(19), 1)).rejects.toThrow('made has 19 images: too few to hold a tenth of them out');
  });

  it('make a set of each family of validation outliers, a fifth as many', async () => {
    const { outliers } = await validationOf(set(50), 1);
    expect(outliers.map(({ name, count }) => [name, count])).toEqual(VALIDATION_FAMILIES.map((name) => [name, 10]));
  });
});
