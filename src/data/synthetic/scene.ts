/** The picture that every class is seen in: a shape on a backdrop, among clutter, perhaps half hidden. */
import type { Random } from '../random.js';
import { anyColour, apart, Canvas, type Colour, type Material, near, plain } from './canvas.js';
import {
  between,
  chance,
  type Field,
  noise,
  type Placement,
  pick,
  ramp,
  SIZE,
  sine,
  tumbled,
  waves,
} from './fields.js';
import { cover, outline, polyline, sized } from './shapes.js';

/** A surface about a colour: flat, shaded, clouded or ribbed. */
export function surface(random: Random, colour: Colour, spread: number): Material {
  const kinds: readonly (() => Field)[] = [
    () => () => 0,
    () => ramp(random),
    () => noise(random, between(random, 6, 16), 1 + random.int(3)),
    () => waves(random, between(random, 3, 12)),
  ];
  return { from: near(random, colour, spread), to: near(random, colour, spread), blend: pick(random, kinds)() };
}

/** A curved stroke anywhere in the image, `width` pixels to either side of its middle. */
export function stroke(random: Random, length: number, width: number): Field {
  const bend = between(random, -0.3, 0.3);
  const points = [-1, -0.5, 0, 0.5, 1].flatMap((t) => [(t * length) / 2, bend * length * t * t]);
  const line = polyline(points);
  return cover(tumbled(random, (x, y) => line(x, y) - width));
}

/**
 * A shape with everything about it that should not matter: place, size, aspect, turn, colours, filling or outline, shadow,
 * backdrop, clutter, and something that hides a part of it. All of it is drawn from the same distribution whatever the shape.
 * @param shape a signed distance, reaching about 1 from its centre; without one, the scene is empty.
 */
export function scene(random: Random, shape?: Field): Canvas {
  const canvas = new Canvas();
  const ground = anyColour(random);
  canvas.paint(surface(random, ground, 0.2));

  for (let count = random.int(5); count > 0; count--) {
    const clutter = stroke(random, between(random, 3, 16), between(random, 0.4, 1.5));
    canvas.paint(plain(near(random, ground, 0.4)), clutter);
  }
  if (shape !== undefined) drawObject(random, canvas, shape, ground);
  return canvas;
}

function drawObject(random: Random, canvas: Canvas, shape: Field, ground: Colour): void {
  const radius = between(random, 7, 13);
  const stretch = Math.sqrt(between(random, 0.7, 1.4));
  const margin = SIZE / 2 - 0.9 * radius;
  const at: Placement = {
    x: between(random, -margin, margin),
    y: between(random, -margin, margin),
    turn: between(random, -0.11, 0.11),
    width: radius * stretch,
    height: radius / stretch,
  };
  const body = sized(shape, at);
  const ink = surface(random, apart(random, ground, 0.3), 0.15);

  if (chance(random, 0.3)) {
    const [dx, dy, depth] = [between(random, -3, 3), between(random, 1, 3), between(random, 0.3, 0.6)];
    const penumbra = cover((x, y) => body(x - dx, y - dy) / 3);
    canvas.paint(plain([0, 0, 0]), (x, y) => depth * penumbra(x, y));
  }
  const drawn = chance(random, 0.25) ? outline(body, between(random, 0.8, 1.6)) : body;
  canvas.paint(ink, cover(drawn));
  if (chance(random, 0.35)) hide(random, canvas, at, radius);
}

/** Something in front: a bar across, or a wavy edge that covers one side of the object. */
function hide(random: Random, canvas: Canvas, at: Placement, radius: number): void {
  const turn = random.uniform();
  const [nx, ny] = [sine(turn + 0.25), sine(turn)];
  const bar = chance(random, 0.5);
  const offset = radius * (bar ? between(random, -0.7, 0.7) : between(random, 0.45, 0.9));
  const [width, phase, wave] = [between(random, 1, 2.5), random.uniform(), between(random, 0, 1.5)];
  const front: Field = (x, y) => {
    const [dx, dy] = [x - at.x, y - at.y];
    const across = nx * dx + ny * dy - offset + wave * sine(phase + (nx * dy - ny * dx) / 14);
    return bar ? Math.abs(across) - width : -across;
  };
  canvas.paint(surface(random, anyColour(random), 0.2), cover(front));
}
