/**
 * The auxiliary outliers of fine-tuning: pictures in which none of the ten classes is the subject. They share the camera
 * with every set, and backdrops and clutter with the classes. What they share with the OOD families is said in ood.ts.
 */
import type { Random } from '../random.js';
import { anyColour, Canvas, near, type Painter, plain } from './canvas.js';
import { between, type Field, noise, pick, ramp, SIZE, waves } from './fields.js';
import { scene, stroke, surface } from './scene.js';
import { CLASSES, cover, irregular, sized } from './shapes.js';

/** Fractal noise between two colours, a third seen through it. */
const clouds: Painter = (random) => {
  const haze = noise(random, between(random, 6, 20), 3);
  const canvas = new Canvas().paint({
    from: anyColour(random),
    to: anyColour(random),
    blend: noise(random, between(random, 5, 20), 4),
  });
  return canvas.paint(plain(anyColour(random)), (x, y) => 1.6 * haze(x, y) - 0.6);
};

/** Patches with sharp, winding borders. */
const camouflage: Painter = (random) => {
  const canvas = new Canvas().paint(plain(anyColour(random)));
  for (let layer = 1 + random.int(4); layer > 0; layer--) {
    const [field, level] = [noise(random, between(random, 5, 12), 2), between(random, 0.45, 0.65)];
    canvas.paint(
      plain(anyColour(random)),
      cover((x, y) => 12 * (level - field(x, y))),
    );
  }
  return canvas;
};

/** Many strokes, long and short. */
const scribbles: Painter = (random) => {
  const canvas = new Canvas().paint(surface(random, anyColour(random), 0.3));
  const colour = anyColour(random);
  for (let count = 4 + random.int(14); count > 0; count--) {
    canvas.paint(plain(near(random, colour, 0.4)), stroke(random, between(random, 5, 32), between(random, 0.4, 2.2)));
  }
  return canvas;
};

/** Overlapping irregular polygons. */
const shards: Painter = (random) => {
  const canvas = new Canvas().paint(surface(random, anyColour(random), 0.3));
  for (let count = 3 + random.int(8); count > 0; count--) {
    canvas.paint(surface(random, anyColour(random), 0.2), cover(anywhere(random, irregular(random))));
  }
  return canvas;
};

function anywhere(random: Random, shape: Field): Field {
  const half = SIZE / 2;
  return sized(shape, {
    x: between(random, -half, half),
    y: between(random, -half, half),
    turn: random.uniform(),
    width: between(random, 3, 12),
    height: between(random, 3, 12),
  });
}

/** Waves in one direction, bent by another, shaded by a third. */
const ripples: Painter = (random) => {
  const [wave, warp, strength] = [
    waves(random, between(random, 2.5, 14)),
    waves(random, between(random, 8, 30)),
    between(random, 0, 8),
  ];
  const shade = ramp(random);
  return new Canvas()
    .paint({
      from: anyColour(random),
      to: anyColour(random),
      blend: (x, y) => wave(x + strength * warp(x, y), y - strength * warp(y, x)),
    })
    .paint(plain(anyColour(random)), (x, y) => 0.6 * shade(x, y));
};

/** One irregular polygon, drawn as the classes are. */
const debris: Painter = (random) => scene(random, irregular(random));

/** Backdrop and clutter, and no object. */
const emptiness: Painter = (random) => scene(random);

/** A scene with one of the classes, cut into sixteen squares that are put together in another order. */
const jigsaw: Painter = (random) => {
  const source = scene(random, pick(random, Object.values(CLASSES))).pixels;
  const canvas = new Canvas();
  const side = SIZE / 4;
  random.shuffle(16).forEach((from, to) => {
    for (let row = 0; row < side; row++) {
      const start = 3 * (SIZE * ((from >> 2) * side + row) + (from & 3) * side);
      const target = 3 * (SIZE * ((to >> 2) * side + row) + (to & 3) * side);
      canvas.pixels.set(source.subarray(start, start + 3 * side), target);
    }
  });
  return canvas;
};

const PAINTERS = [clouds, camouflage, scribbles, shards, ripples, debris, emptiness, jigsaw];

/** An outlier: any of eight kinds, equally often. */
export function outlier(random: Random): Canvas {
  return pick(random, PAINTERS)(random);
}
