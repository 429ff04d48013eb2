/** Float16, for buffers that kernels take as such. */

/** The nearest float16, the even one of two, of numbers below 65504. */
export function roundToHalf(value: number): number {
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(value) || 1)), -14);
  const unit = 2 ** (exponent - 10);
  const units = value / unit;
  const floor = Math.floor(units);
  const rest = units - floor;
  return (floor + (rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? 1 : 0)) * unit;
}

/** Numbers as float16, two to a word. */
export function packHalves(values: Float32Array): Uint32Array {
  const bits = Uint16Array.from(values, (value) => {
    const half = roundToHalf(value);
    const size = Math.abs(half);
    const sign = half < 0 ? 0x8000 : 0;
    if (size < 2 ** -14) return sign | (size * 2 ** 24);
    const exponent = Math.floor(Math.log2(size));
    return sign | ((exponent + 15) << 10) | ((size / 2 ** exponent - 1) * 1024);
  });
  return new Uint32Array(bits.buffer);
}

export function unpackHalves(words: Uint32Array): Float64Array {
  return Float64Array.from(new Uint16Array(words.buffer, words.byteOffset, words.length * 2), (bits) => {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size =
      exponent === 0 ? fraction * 2 ** -24 : exponent === 31 ? NaN : (1 + fraction / 1024) * 2 ** (exponent - 15);
    return bits & 0x8000 ? -size : size;
  });
}
