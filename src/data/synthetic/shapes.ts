/**
 * Shapes as signed distances: negative inside, in units where a shape reaches about 1 from its centre; y points down.
 * The ten classes, the novel shapes that are none of them, and the parts that other pictures are made of.
 */
import type { Random } from '../random.js';
import { between, clamp, cosine, type Field, type Placement, place, sine } from './fields.js';

/** The coverage of pixels by a signed distance in pixels: anti-aliased over one pixel. */
export const cover =
  (distance: Field): Field =>
  (x, y) =>
    clamp(0.5 - distance(x, y));

export const disc =
  (radius: number, cx = 0, cy = 0): Field =>
  (x, y) =>
    Math.sqrt((x - cx) * (x - cx) + (y - cy) * (y - cy)) - radius;

export const union =
  (...parts: readonly Field[]): Field =>
  (x, y) => {
    let nearest = parts[0](x, y);
    for (let i = 1; i < parts.length; i++) nearest = Math.min(nearest, parts[i](x, y));
    return nearest;
  };

export const without =
  (shape: Field, hole: Field): Field =>
  (x, y) =>
    Math.max(shape(x, y), -hole(x, y));

/** The line between a shape and the rest of the world, `width` to either side. */
export const outline =
  (shape: Field, width: number): Field =>
  (x, y) =>
    Math.abs(shape(x, y)) - width;

/** The distance to a chain of line segments through x0, y0, x1, y1, ... */
export function polyline(points: readonly number[]): Field {
  return (x, y) => {
    let nearest = Number.MAX_VALUE;
    for (let i = 0; i + 3 < points.length; i += 2) {
      const dx = points[i + 2] - points[i];
      const dy = points[i + 3] - points[i + 1];
      nearest = Math.min(nearest, squaredDistance(x - points[i], y - points[i + 1], dx, dy));
    }
    return Math.sqrt(nearest);
  };
}

/** A closed polygon through x0, y0, x1, y1, ...; where it crosses itself, even-odd. */
export function polygon(points: readonly number[]): Field {
  return (x, y) => {
    let nearest = Number.MAX_VALUE;
    let inside = false;
    let px = points[points.length - 2];
    let py = points[points.length - 1];
    for (let i = 0; i < points.length; i += 2) {
      const dx = points[i] - px;
      const dy = points[i + 1] - py;
      nearest = Math.min(nearest, squaredDistance(x - px, y - py, dx, dy));
      if (py > y !== points[i + 1] > y && x < px + (dx * (y - py)) / dy) inside = !inside;
      px = points[i];
      py = points[i + 1];
    }
    return inside ? -Math.sqrt(nearest) : Math.sqrt(nearest);
  };
}

/** From a point to the segment from the origin to (dx, dy). */
function squaredDistance(x: number, y: number, dx: number, dy: number): number {
  const along = clamp((x * dx + y * dy) / (dx * dx + dy * dy));
  const ex = x - along * dx;
  const ey = y - along * dy;
  return ex * ex + ey * ey;
}

/** Corners on rays at equal angles, at radii taken in turn. */
function corners(count: number, ...radii: readonly number[]): number[] {
  return Array.from({ length: count }, (_, i) => {
    const radius = radii[i % radii.length];
    return [radius * sine(i / count), -radius * cosine(i / count)];
  }).flat();
}

/** An irregular polygon of five to nine corners: none of the named shapes, except by a rare accident. */
export function irregular(random: Random): Field {
  const count = 5 + random.int(5);
  const radii = Array.from({ length: count }, () => between(random, 0.3, 1.1));
  return polygon(corners(count, ...radii));
}

/** The ten classes, in the order of their labels. */
export const CLASSES: Readonly<Record<string, Field>> = {
  circle: disc(0.82),
  square: polygon([-0.75, -0.75, 0.75, -0.75, 0.75, 0.75, -0.75, 0.75]),
  triangle: polygon(corners(3, 1)),
  star: polygon(corners(10, 1.05, 0.45)),
  cross: polygon([
    ...[-0.3, -0.95, 0.3, -0.95, 0.3, -0.3, 0.95, -0.3, 0.95, 0.3, 0.3, 0.3],
    ...[0.3, 0.95, -0.3, 0.95, -0.3, 0.3, -0.95, 0.3, -0.95, -0.3, -0.3, -0.3],
  ]),
  crescent: without(disc(0.95), disc(0.78, 0.46, 0)),
  heart: union(
    polygon([0, -0.62, 0.78, 0.16, 0, 0.94, -0.78, 0.16]),
    disc(0.5515, 0.39, -0.23),
    disc(0.5515, -0.39, -0.23),
  ),
  arrow: polygon([0, -1, 0.8, -0.1, 0.3, -0.1, 0.3, 0.95, -0.3, 0.95, -0.3, -0.1, -0.8, -0.1]),
  drop: union(disc(0.62, 0, 0.35), polygon([0, -1.05, 0.5566, 0.0768, -0.5566, 0.0768])),
  bolt: polygon([0.2, -1, -0.6, 0.2, -0.08, 0.2, -0.3, 1, 0.6, -0.25, 0.1, -0.25, 0.5, -1]),
};

/** Shapes that belong to no class and are in no outlier, drawn exactly as the classes are. */
export const NOVEL_SHAPES: readonly Field[] = [
  // a half moon, an hourglass, a T, a house, a four-petalled flower, stairs
  without(disc(0.95, 0, -0.35), (_, y) => -y - 0.35),
  polygon([-0.75, -0.95, 0.75, -0.95, 0.15, 0, 0.75, 0.95, -0.75, 0.95, -0.15, 0]),
  polygon([-0.85, -0.9, 0.85, -0.9, 0.85, -0.35, 0.28, -0.35, 0.28, 0.95, -0.28, 0.95, -0.28, -0.35, -0.85, -0.35]),
  polygon([0, -1, 1, -0.15, 0.68, -0.15, 0.68, 0.85, -0.68, 0.85, -0.68, -0.15, -1, -0.15]),
  union(disc(0.5, 0.48, 0), disc(0.5, -0.48, 0), disc(0.5, 0, 0.48), disc(0.5, 0, -0.48)),
  polygon([-0.9, 0.9, -0.9, 0.3, -0.3, 0.3, -0.3, -0.3, 0.3, -0.3, 0.3, -0.9, 0.9, -0.9, 0.9, 0.9]),
];

/** A shape at a place, as a signed distance in pixels (where width and height differ, a lower bound of it). */
export function sized(shape: Field, at: Placement): Field {
  const scale = Math.min(at.width, at.height);
  return place((x, y) => scale * shape(x, y), at);
}
