/**
 * Scalar fields over the plane, from which every synthetic image is drawn. Coordinates are pixels, the origin is the centre
 * of the image, y points down. Only +, -, *, / and sqrt are used, which IEEE 754 makes exact, so images have the same bits
 * on every machine (Math.sin, Math.exp and Math.hypot may differ between JavaScript engines).
 */
import type { Random } from '../random.js';

export type Field = (x: number, y: number) => number;

/** The side of an image, in pixels. */
export const SIZE = 32;

export const clamp = (value: number): number => Math.min(Math.max(value, 0), 1);

/** A number between low and high. */
export const between = (random: Random, low: number, high: number): number => low + (high - low) * random.uniform();

export const chance = (random: Random, probability: number): boolean => random.uniform() < probability;

export const pick = <T>(random: Random, choices: readonly T[]): T => choices[random.int(choices.length)];

/** sin(2 pi t), to 1e-6: the Taylor polynomial on a quarter turn. */
export function sine(turns: number): number {
  let t = turns - Math.floor(turns + 0.5);
  if (t > 0.25) t = 0.5 - t;
  else if (t < -0.25) t = -0.5 - t;
  const x = 2 * Math.PI * t;
  const s = x * x;
  return x * (1 - (s / 6) * (1 - (s / 20) * (1 - (s / 42) * (1 - (s / 72) * (1 - s / 110)))));
}

export const cosine = (turns: number): number => sine(turns + 0.25);

/** Where something is, in pixels: its centre, its turn (1 is all the way round), and how long its unit is along its axes. */
export interface Placement {
  readonly x: number;
  readonly y: number;
  readonly turn: number;
  readonly width: number;
  readonly height: number;
}

/** A field moved, turned and stretched to a place. */
export function place(field: Field, at: Placement): Field {
  const c = cosine(at.turn);
  const s = sine(at.turn);
  return (x, y) => {
    const dx = x - at.x;
    const dy = y - at.y;
    return field((c * dx + s * dy) / at.width, (c * dy - s * dx) / at.height);
  };
}

/** A field turned by any angle and shifted by up to half an image. */
export function tumbled(random: Random, field: Field, scale = 1): Field {
  const half = SIZE / 2;
  const [x, y] = [between(random, -half, half), between(random, -half, half)];
  return place(field, { x, y, turn: random.uniform(), width: scale, height: scale });
}

/** From 0 to 1 across the image, in any direction. */
export function ramp(random: Random): Field {
  const turn = random.uniform();
  const c = cosine(turn) / SIZE;
  const s = sine(turn) / SIZE;
  return (x, y) => clamp(0.5 + c * x + s * y);
}

/** Parallel sine waves, 0 to 1. */
export function waves(random: Random, wavelength: number): Field {
  return tumbled(random, (x) => 0.5 + 0.5 * sine(x / wavelength));
}

/** Smooth value noise, 0 to 1: random values on a lattice of `cell` pixels, and each octave half as large and half as strong. */
export function noise(random: Random, cell: number, octaves: number): Field {
  const layers: Field[] = [];
  for (let octave = 0; octave < octaves; octave++, cell /= 2) layers.push(lattice(random, cell));
  return (x, y) => {
    let sum = 0;
    let total = 0;
    let weight = 1;
    for (let i = 0; i < layers.length; i++, weight /= 2) {
      sum += weight * layers[i](x, y);
      total += weight;
    }
    return sum / total;
  };
}

function lattice(random: Random, cell: number): Field {
  const side = Math.ceil(SIZE / cell) + 2;
  const values = Float64Array.from({ length: side * side }, () => random.uniform());
  const [left, top] = [random.uniform(), random.uniform()];
  const ease = (t: number) => t * t * (3 - 2 * t);
  // A field may be asked beyond the image: there, the edge goes on.
  const inside = (v: number) => Math.min(Math.max(v, 0), side - 1.001);
  return (x, y) => {
    const u = inside((x + SIZE / 2) / cell + left);
    const v = inside((y + SIZE / 2) / cell + top);
    const column = Math.floor(u);
    const row = Math.floor(v);
    const a = ease(u - column);
    const b = ease(v - row);
    const i = row * side + column;
    const upper = values[i] + a * (values[i + 1] - values[i]);
    const lower = values[i + side] + a * (values[i + side + 1] - values[i + side]);
    return upper + b * (lower - upper);
  };
}
