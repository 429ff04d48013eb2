// Damage, by a seed: bytes changed without regard to what they mean.

/** Numbers that are the same in every run: xorshift32. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = (Math.imul(seed + 1, 0x9e3779b1) ^ 0x5bd1e995) >>> 0 || 1;
  }

  below(limit: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % limit;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

/** Where arithmetic goes wrong. */
const EDGES = [0, 1, -1, 2, 7, 8, 127, 128, 255, 256, 32767, 65535, 65536, 2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];

/**
 * One to four changes: cut short, bits flipped, bytes and lengths overwritten, pieces deleted, repeated, inserted, moved.
 * @param structure the first so many bytes, or (negative) the last, are changed three times in four
 */
export function mutate(bytes: Uint8Array, random: Random, structure = bytes.length): Uint8Array {
  let changed: Uint8Array = bytes.slice();
  for (let change = random.below(4); change >= 0; change--) changed = mutateOnce(changed, random, structure);
  return changed;
}

function mutateOnce(bytes: Uint8Array, random: Random, structure: number): Uint8Array {
  const size = bytes.length;
  if (size === 0) return Uint8Array.of(random.below(256));
  const at = () => {
    const span = Math.min(size, Math.abs(structure)) || 1;
    if (random.below(4) === 0) return random.below(size);
    return structure < 0 ? size - 1 - random.below(span) : random.below(span);
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, size);
  const from = at();
  const length = Math.min(size - from, 1 + random.below(random.of([2, 8, 64, 1024])));
  const piece = bytes.slice(from, from + length);
  switch (random.below(9)) {
    case 0:
      return bytes.slice(0, at());
    case 1:
      for (let flips = random.below(8); flips >= 0; flips--) bytes[at()]! ^= 1 << random.below(8);
      return bytes;
    case 2:
      bytes[from] = random.of([0, 255, 127, 128, random.below(256)]);
      return bytes;
    case 3: {
      const value = random.of([...EDGES, size, size - 1, size + 1]);
      if (from + 2 <= size && random.below(3) === 0) view.setUint16(from, value, random.below(4) > 0);
      else if (from + 4 <= size) view.setUint32(from, value, random.below(4) > 0);
      return bytes;
    }
    case 4:
      if (from + 8 <= size) view.setBigInt64(from, BigInt(random.of([...EDGES, 2 ** 53, -(2 ** 53)])), true);
      return bytes;
    case 5:
      return join(bytes.subarray(0, from), bytes.subarray(from + length));
    case 6:
      return join(
        bytes.subarray(0, from),
        ...Array.from({ length: 1 + random.below(4) }, () => piece),
        bytes.subarray(from),
      );
    case 7:
      return join(
        bytes.subarray(0, from),
        Uint8Array.from({ length }, () => random.below(256)),
        bytes.subarray(from),
      );
    default:
      bytes.set(piece, Math.min(size - length, at()));
      return bytes;
  }
}

export function join(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
export const bytesOf = (latin1: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(latin1, 'latin1'));

/** Every number in a text replaced now and then by another: sizes, offsets, counts. */
export function mutateNumbers(source: string, random: Random): string {
  return source.replace(/\d+/g, (digits) =>
    random.below(4)
      ? digits
      : String(random.of([...EDGES, Number(digits) + 1, Number(digits) - 1, 1e15, 1e300, 0.5, 'x', ''])),
  );
}

/** A JSON value with parts removed, replaced by what they should not be, or moved. */
export function mutateJson(value: unknown, random: Random): unknown {
  if (random.below(12) === 0) {
    return random.of<unknown>([
      null,
      -1,
      1e308,
      '',
      'x',
      [],
      {},
      true,
      [[[]]],
      'a\nb',
      [null],
      { __proto__: 1 },
      0.5,
      '\ud800',
    ]);
  }
  if (Array.isArray(value)) return value.map((item) => mutateJson(item, random));
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(() => random.below(40));
    return Object.fromEntries(
      entries.map(([key, item]) => [random.below(60) ? key : `${key}x`, mutateJson(item, random)]),
    );
  }
  if (typeof value === 'number' && random.below(8) === 0) return random.of([...EDGES, value + 1, value - 1]);
  return value;
}
