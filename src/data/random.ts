/**
 * Random numbers for the CPU side: Philox4x32-10, a counter-based generator (Salmon, Moraes, Dror, Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011). Everything is 32-bit integer arithmetic and +, -, *, /, sqrt, so a seed gives the
 * same bits on every machine; the whole state is a key and a position, so a run can be saved and resumed anywhere.
 */
import { UsageError } from '../errors.js';

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;
const WORD = 0x1_0000_0000;

/** The fourth counter word: keeps numbers that are drawn apart from keys that are derived. */
const DRAW = 0;
const DERIVE = 1;

/** The high 32 bits of a 32 x 32-bit product, as a signed integer. */
function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = (Math.imul(a1, b0) >>> 0) + (Math.imul(a0, b0) >>> 16);
  const carried = (Math.imul(a0, b1) >>> 0) + (middle & 0xffff);
  return (Math.imul(a1, b1) + (middle >>> 16) + (carried >>> 16)) | 0;
}

/**
 * One block of Philox4x32-10: encrypts a counter of four 32-bit words under a key of two.
 * @param block the counter; overwritten by the four random words.
 */
export function philox4x32(block: Uint32Array | number[], key0: number, key1: number): void {
  let c0 = block[0];
  let c1 = block[1];
  let c2 = block[2];
  let c3 = block[3];
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 = (key0 + WEYL_0) | 0;
    key1 = (key1 + WEYL_1) | 0;
  }
  block[0] = c0 >>> 0;
  block[1] = c1 >>> 0;
  block[2] = c2 >>> 0;
  block[3] = c3 >>> 0;
}

/** All there is to a generator, as plain JSON. */
export interface RandomState {
  /** The Philox key: two unsigned 32-bit words. */
  readonly key: readonly [number, number];
  /** How many 32-bit words have been drawn. */
  readonly position: number;
}

/** A stream of random numbers. Make one with {@link stream}, or with the `state` of another to continue where it stood. */
export class Random {
  readonly #key: readonly [number, number];
  readonly #block = new Uint32Array(4);
  #position: number;

  constructor(state: RandomState) {
    const isWord = (value: unknown) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < WORD;
    if (state.key.length !== 2 || !state.key.every(isWord)) {
      throw new UsageError(`random state: key is [${state.key}]; it must be two unsigned 32-bit integers`);
    }
    if (!Number.isSafeInteger(state.position) || state.position < 0) {
      throw new UsageError(
        `random state: position is ${state.position}; it must be a whole number of words, 0 or more`,
      );
    }
    this.#key = [state.key[0], state.key[1]];
    this.#position = state.position;
    if (this.#position % 4 !== 0) this.#refill();
  }

  get state(): RandomState {
    return { key: this.#key, position: this.#position };
  }

  /**
   * An independent stream named by keys. It depends on this stream's own key, not on how much has been drawn from it.
   * @param keys whole numbers (up to 2^53 - 1 in magnitude) and names, in any mixture.
   */
  derive(...keys: readonly (number | string)[]): Random {
    let [key0, key1] = this.#key;
    const block = this.#block.slice();
    const absorb = (low: number, high: number, kind: number) => {
      block.set([low, high, kind, DERIVE]);
      philox4x32(block, key0, key1);
      [key0, key1] = block;
    };
    for (const key of keys) {
      if (typeof key === 'string') {
        for (let i = 0; i < key.length; i++) absorb(key.charCodeAt(i), i, 1);
        absorb(key.length, 0, 2);
      } else {
        if (!Number.isSafeInteger(key))
          throw new UsageError(`random stream: key ${key} is not a whole number below 2^53`);
        absorb(key, Math.floor(key / WORD), 0);
      }
    }
    return new Random({ key: [key0, key1], position: 0 });
  }

  /** A whole number in [0, 2^32). */
  uint32(): number {
    const lane = this.#position & 3;
    if (lane === 0) this.#refill();
    this.#position++;
    return this.#block[lane];
  }

  /** A multiple of 2^-32 in [0, 1). */
  uniform(): number {
    return this.uint32() / WORD;
  }

  /** A whole number in [0, n), every one equally likely; n from 1 to 2^32. */
  int(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > WORD) {
      throw new UsageError(`random integer below ${n}: the bound must be a whole number from 1 to 2^32`);
    }
    const fair = WORD - (WORD % n);
    let word = this.uint32();
    while (word >= fair) word = this.uint32();
    return word % n;
  }

  /** A draw from N(0, 1), by Marsaglia's polar method. */
  normal(): number {
    for (;;) {
      const u = 2 * this.uniform() - 1;
      const v = 2 * this.uniform() - 1;
      const s = u * u + v * v;
      if (s > 0 && s < 1) return u * Math.sqrt((-2 * logarithm(s)) / s);
    }
  }

  /** A permutation of 0 .. n-1, every one equally likely (Fisher and Yates). */
  shuffle(n: number): Uint32Array {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.int(i + 1);
      const held = order[i];
      order[i] = order[j];
      order[j] = held;
    }
    return order;
  }

  #refill(): void {
    const index = Math.floor(this.#position / 4);
    this.#block[0] = index;
    this.#block[1] = index / WORD;
    this.#block[2] = 0;
    this.#block[3] = DRAW;
    philox4x32(this.#block, this.#key[0], this.#key[1]);
  }
}

/**
 * The stream of a seed, and of any keys below it: `stream(seed, 'augment', epoch)`. Deriving is cheap (about a microsecond).
 * @param seed a whole number below 2^53.
 */
export function stream(seed: number, ...keys: readonly (number | string)[]): Random {
  return ROOT.derive(seed, ...keys);
}

const ROOT = new Random({ key: [0, 0], position: 0 });

/** ln(s) for 0 < s < 1 to double precision. Math.log may differ in its last bit from one JavaScript engine to the next. */
function logarithm(s: number): number {
  let exponent = 0;
  while (s < Math.SQRT1_2) {
    s *= 2;
    exponent--;
  }
  // ln(s) = 2 artanh(z), |z| < 0.172: the next term of the series is below 2^-53.
  const z = (s - 1) / (s + 1);
  const square = z * z;
  let sum = 0;
  for (let power = 21; power >= 1; power -= 2) sum = sum * square + 1 / power;
  return exponent * Math.LN2 + 2 * z * sum;
}
