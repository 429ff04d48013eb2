/** pcg4d (Jarzynski & Olano, JCGT 2020, listing of section 4) in JavaScript: four words to four random words. */
export function random4(counter: number, step: number, stream: number, seed: number): [number, number, number, number] {
  let [x, y, z, w] = [counter, step, stream, seed].map((word) => (Math.imul(word, 1664525) + 1013904223) | 0) as [
    number,
    number,
    number,
    number,
  ];
  const mix = () => {
    x = (x + Math.imul(y, w)) | 0;
    y = (y + Math.imul(z, x)) | 0;
    z = (z + Math.imul(x, y)) | 0;
    w = (w + Math.imul(y, z)) | 0;
  };
  mix();
  // Logical shifts: the words are unsigned.
  x ^= x >>> 16;
  y ^= y >>> 16;
  z ^= z >>> 16;
  w ^= w >>> 16;
  mix();
  return [x >>> 0, y >>> 0, z >>> 0, w >>> 0];
}

/**
 * What inverted dropout multiplies each of `size` elements by: 0 or 1 / (1 - rate). Elements share a quadruple of random
 * words by fours; `perElement`: each takes the first word of its own, as batch norm does where channels are no multiple of 4.
 */
export function dropoutMask(
  size: number,
  {
    rate,
    stream,
    step,
    seed,
    perElement = false,
  }: {
    rate: number;
    stream: number;
    step: number;
    seed: number;
    perElement?: boolean;
  },
): Float64Array {
  return Float64Array.from({ length: size }, (_, i) => {
    const word = perElement
      ? random4(i, step, stream, seed)[0]
      : random4(Math.floor(i / 4), step, stream, seed)[i % 4]!;
    return word >= rate * 2 ** 32 ? 1 / (1 - rate) : 0;
  });
}
