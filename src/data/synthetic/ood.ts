/**
 * The out-of-distribution families to test on. The outliers hold none of them, but no family is a world of its own: every
 * picture goes through the camera that the classes go through, and
 *
 * | family       | shows                              | shares with the classes | shares with the outliers            |
 * |--------------|------------------------------------|-------------------------|-------------------------------------|
 * | glyphs       | letters and digits                 | backdrop, clutter       | strokes (scribbles: many, curved)   |
 * | textures     | checks, weaves, dots, bricks       | colours                 | regularity (ripples: one direction) |
 * | noise        | independent values, fine or coarse | nothing                 | nothing (clouds: smooth)            |
 * | scenes       | sky, hills, houses with windows    | colours, surfaces       | colours, surfaces                   |
 * | cells        | Voronoi cells                      | colours                 | flat patches (camouflage, shards)   |
 * | novel_shapes | shapes of no class                 | all but the shape       | all but the outline (debris)        |
 *
 * novel_shapes is near-OOD: expect the least there. Textures shows why energy needs fine-tuning: a network that has never
 * seen a pattern may be surer of it than of any class.
 */
import { anyColour, apart, Canvas, near, type Painter, plain } from './canvas.js';
import { between, chance, clamp, type Field, noise, pick, ramp, SIZE, tumbled } from './fields.js';
import { scene, surface } from './scene.js';
import { cover, NOVEL_SHAPES, polyline } from './shapes.js';

/**
 * Letters and digits as chains of strokes between nine points:
 *   0 1 2
 *   3 4 5
 *   6 7 8
 */
const GLYPHS = (
  '6028 35,2068,2068 34,206 34,06 28 35,2863,06 238,068,60428,6082,60253,60253 48,203586,0682,06482,04 247,0268,' +
  '025368,0286 35,035 28,206853,026,82035'
).split(',');

/** One to three characters side by side, over a backdrop with clutter. */
const glyphs: Painter = (random) => {
  const canvas = scene(random);
  const ink = plain(apart(random, canvas.mean(), 0.3));
  const count = 1 + random.int(3);
  const width = between(random, 0.7, 0.95) * (SIZE / (2.6 * count + 0.6));
  const height = Math.min(13, width * between(random, 1.2, 2));
  const thickness = between(random, 0.7, 1 + width / 8);
  const slant = between(random, -0.25, 0.25);
  const top = between(random, -1, 1) * (SIZE / 2 - height - 1);
  for (let i = 0; i < count; i++) {
    const left = (i - (count - 1) / 2) * 2.6 * width;
    for (const chain of pick(random, GLYPHS).split(' ')) {
      const line = polyline(
        Array.from(chain, Number).flatMap((point) => {
          const [column, row] = [(point % 3) - 1, Math.floor(point / 3) - 1];
          return [left + width * (column - slant * row), top + height * row];
        }),
      );
      canvas.paint(
        ink,
        cover((x, y) => line(x, y) - thickness),
      );
    }
  }
  return canvas;
};

/** How far into a cell of side 1, from its middle (0) to its edge (0.5). */
const offCentre = (t: number) => Math.abs(t - Math.floor(t) - 0.5);

/** Patterns of period 1 in both directions, 0 to 1; `period`, in pixels, is for anti-aliasing. */
const PATTERNS: readonly ((period: number) => Field)[] = [
  // checks
  (period) => (x, y) => {
    const [a, b] = [offCentre(x) - 0.25, offCentre(y) - 0.25];
    const distance = period * Math.min(Math.abs(a), Math.abs(b));
    return clamp(0.5 + (a * b > 0 ? distance : -distance));
  },
  // a plain weave: threads that pass over and under
  () => (x, y) => {
    const over = (Math.floor(x) + Math.floor(y)) % 2 === 0;
    return 1 - 2 * offCentre(over ? x : y);
  },
  // dots
  (period) => (x, y) => {
    const [a, b] = [x - Math.floor(x) - 0.5, y - Math.floor(y) - 0.5];
    return clamp(0.5 + period * (Math.sqrt(a * a + b * b) - 0.3));
  },
  // bricks, twice as long as high
  (period) => (x, y) => {
    const along = x / 2 + (Math.floor(y) % 2) / 2;
    const edge = Math.min(0.5 - offCentre(y), 2 * (0.5 - offCentre(along)));
    return clamp(0.5 + period * (edge - 0.12));
  },
];

/** One periodic pattern over the whole image, lit from one side. */
const textures: Painter = (random) => {
  const period = between(random, 4, 11);
  const from = anyColour(random);
  const blend = tumbled(random, pick(random, PATTERNS)(period), period);
  const [shade, light] = [ramp(random), between(random, 0, 0.6)];
  return new Canvas()
    .paint({ from, to: apart(random, from, 0.2), blend })
    .paint(plain(anyColour(random)), (x, y) => light * shade(x, y));
};

/** Independent values in squares of 1 to 4 pixels: normal, uniform or black and white; grey or coloured. */
const whiteNoise: Painter = (random) => {
  const canvas = new Canvas();
  const values: readonly (() => number)[] = [
    () => 0.5 + 0.25 * random.normal(),
    () => random.uniform(),
    () => random.int(2),
  ];
  const value = pick(random, values);
  const grey = chance(random, 0.4);
  const side = 1 + random.int(4);
  for (let row = 0; row < SIZE; row += side) {
    for (let column = 0; column < SIZE; column += side) {
      const red = value();
      const colour = grey ? [red, red, red] : [red, value(), value()];
      for (let y = row; y < Math.min(row + side, SIZE); y++) {
        for (let x = column; x < Math.min(column + side, SIZE); x++) canvas.pixels.set(colour, 3 * (SIZE * y + x));
      }
    }
  }
  return canvas;
};

/** A sky with clouds, up to three ranges of hills, perhaps houses with windows, and the ground. */
const scenes: Painter = (random) => {
  const sky = anyColour(random);
  const haze = noise(random, between(random, 8, 16), 3);
  const [horizon, height] = [between(random, -6, 8), (_: number, y: number) => clamp(0.5 + y / SIZE)];
  const canvas = new Canvas()
    .paint({ from: sky, to: near(random, sky, 0.5), blend: height })
    .paint(plain(near(random, sky, 0.4)), (x, y) => clamp(3 * haze(x, 2 * y) - 1.3));

  for (let range = random.int(4); range > 0; range--) {
    const [ridge, peak] = [noise(random, between(random, 6, 14), 3), between(random, 4, 16)];
    canvas.paint(
      surface(random, anyColour(random), 0.15),
      cover((x, y) => horizon - peak * ridge(x, 0) - y),
    );
  }
  const wall = anyColour(random);
  for (let house = random.int(6); house > 0; house--) {
    const [left, half, tall] = [between(random, -16, 16), between(random, 1.5, 4.5), between(random, 4, 18)];
    const storey = between(random, 2.5, 4);
    const front: Field = (x, y) => Math.max(Math.abs(x - left) - half, horizon - tall - y);
    const window: Field = (x, y) =>
      Math.max(
        front(x, y) + 1,
        storey * (offCentre((x - left) / storey) - 0.25),
        storey * (offCentre(y / storey) - 0.25),
      );
    canvas.paint(plain(near(random, wall, 0.3)), cover(front)).paint(plain(anyColour(random)), cover(window));
  }
  return canvas.paint(
    surface(random, anyColour(random), 0.25),
    cover((_, y) => horizon - y),
  );
};

/** Voronoi cells of random colours, with or without borders. */
const cells: Painter = (random) => {
  const count = 6 + random.int(35);
  const sites = Array.from({ length: count }, () => [between(random, -18, 18), between(random, -18, 18)]);
  const shades = [0, 1].map(() => Float64Array.from(sites, () => random.uniform()));

  const nearest = (x: number, y: number): { site: number; toBorder: number } => {
    let first = Number.MAX_VALUE;
    let second = Number.MAX_VALUE;
    let site = 0;
    for (let i = 0; i < count; i++) {
      const dx = x - sites[i][0];
      const dy = y - sites[i][1];
      const distance = dx * dx + dy * dy;
      if (distance < first) {
        second = first;
        first = distance;
        site = i;
      } else if (distance < second) second = distance;
    }
    return { site, toBorder: (Math.sqrt(second) - Math.sqrt(first)) / 2 };
  };
  const shade =
    (of: Float64Array): Field =>
    (x, y) =>
      of[nearest(x, y).site];
  const canvas = new Canvas()
    .paint({ from: anyColour(random), to: anyColour(random), blend: shade(shades[0]) })
    .paint(plain(anyColour(random)), shade(shades[1]));
  const border = pick(random, [0, 0.5, 1]);
  return border === 0
    ? canvas
    : canvas.paint(
        plain(anyColour(random)),
        cover((x, y) => nearest(x, y).toBorder - border),
      );
};

/** A shape of no class, drawn as the classes are. */
const novelShapes: Painter = (random) => scene(random, pick(random, NOVEL_SHAPES));

/** A painter for each family. */
export const OOD_PAINTERS = {
  glyphs,
  textures,
  noise: whiteNoise,
  scenes,
  cells,
  novel_shapes: novelShapes,
} satisfies Record<string, Painter>;
