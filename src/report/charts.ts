/** Specifications of Vega-Lite for the report's figures. They hold their data, and are drawn by `draw.ts`. */
import type { Curve, Densities } from '../ood/curves.js';
import { COLOURS, type Colour } from './draw.js';

/** Drawn pixels; the page scales the picture to its column. */
const WIDTH = 260;
const HEIGHT = 180;

/** Dashes tell lines apart where colours do not. */
const DASHES = [
  [1, 0],
  [6, 2],
  [2, 2],
  [8, 2, 2, 2],
  [4, 1],
  [12, 3],
  [3, 3],
] as const;

export const dashOf = (index: number): readonly number[] => DASHES[index % DASHES.length]!;

/** Two filled histograms over each other: in-distribution, and one other set. */
export function histogram({ edges, groups }: Densities, axis: string): object {
  // A step goes on to the next edge: the last density once more, at the end.
  const values = groups.flatMap((densities, group) =>
    edges.map((x, i) => ({
      x,
      density: densities[Math.min(i, densities.length - 1)]!,
      group: group === 0 ? 'in' : 'out',
    })),
  );
  return {
    width: WIDTH,
    height: HEIGHT,
    data: { values: values.map(rounded) },
    mark: { type: 'area', opacity: 0.55, interpolate: 'step-after' },
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        title: axis,
        scale: { zero: false, nice: false },
        axis: { grid: false, tickCount: 6 },
      },
      y: { field: 'density', type: 'quantitative', title: 'density', stack: null, axis: { tickCount: 4 } },
      color: {
        field: 'group',
        type: 'nominal',
        legend: null,
        scale: { domain: ['in', 'out'], range: [COLOURS.in, COLOURS.out] },
      },
    },
  };
}

/** A line of a chart. */
export interface Line {
  readonly name: string;
  readonly colour: Colour;
  readonly points: Curve;
  /** Drawn thicker. */
  readonly strong?: boolean;
}

/** Lines over two axes of 0 to 1, or of their own range. */
export function lines(
  all: readonly Line[],
  axes: {
    x: string;
    y: string;
    logX?: boolean;
    dots?: boolean;
    domainY?: readonly [number, number];
  },
): object {
  const values = all.flatMap(({ name, points, strong }) =>
    points.map(([x, y], order) => rounded({ x, y, order, name, strong: strong ? 1 : 0 })),
  );
  const names = all.map(({ name }) => name);
  const unit = axes.logX ? {} : { domain: [0, 1] };
  return {
    width: WIDTH,
    height: HEIGHT,
    data: { values },
    mark: { type: 'line', ...(axes.dots && { point: { size: 22 } }) },
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        title: axes.x,
        scale: axes.logX ? { type: 'log', nice: false } : { ...unit },
        axis: axes.logX ? { values: [1, 10, 100, 1000], grid: false } : { format: '.0%', tickCount: 5 },
      },
      y: {
        field: 'y',
        type: 'quantitative',
        title: axes.y,
        scale: axes.domainY ? { domain: axes.domainY, clamp: true } : { zero: false },
        axis: { format: '.0%', tickCount: 5 },
      },
      order: { field: 'order', type: 'quantitative' },
      detail: { field: 'name' },
      strokeWidth: { field: 'strong', type: 'nominal', legend: null, scale: { domain: [0, 1], range: [1.5, 3] } },
      strokeDash: {
        field: 'name',
        type: 'nominal',
        legend: null,
        scale: { domain: names, range: names.map((_, i) => dashOf(i)) },
      },
      color: {
        field: 'name',
        type: 'nominal',
        legend: null,
        scale: { domain: names, range: all.map(({ colour }) => COLOURS[colour]) },
      },
    },
  };
}

/** A cell for each pair, its figure written in it; the lightest is the lowest, and the chosen one is framed. */
export function heatMap(
  cells: readonly { readonly x: number; readonly y: number; readonly value: number; readonly chosen: boolean }[],
  axes: { x: string; y: string },
): object {
  const columns = new Set(cells.map(({ x }) => x)).size;
  const rows = new Set(cells.map(({ y }) => y)).size;
  const [low, high] = [Math.min(...cells.map(({ value }) => value)), Math.max(...cells.map(({ value }) => value))];
  const position = { type: 'ordinal', axis: { labelAngle: 0, domain: false, ticks: false } };
  return {
    width: Math.max(180, columns * 62),
    height: Math.max(120, rows * 40),
    data: { values: cells.map((cell) => ({ ...cell, shade: 0.12 + (0.78 * (cell.value - low)) / (high - low || 1) })) },
    encoding: {
      x: { field: 'x', title: axes.x, sort: 'ascending', ...position },
      y: { field: 'y', title: axes.y, sort: 'descending', ...position },
    },
    layer: [
      {
        mark: { type: 'rect', color: COLOURS.energy, cornerRadius: 2 },
        encoding: { opacity: { field: 'shade', type: 'quantitative', scale: null } },
      },
      {
        transform: [{ filter: 'datum.chosen' }],
        mark: { type: 'rect', filled: false, stroke: COLOURS.ink, strokeWidth: 2, cornerRadius: 2 },
      },
      {
        mark: { type: 'text', fontSize: 12, color: COLOURS.ink },
        encoding: { text: { field: 'value', type: 'quantitative', format: '.1%' } },
      },
    ],
  };
}

/** To five digits: what is drawn needs no more, and the page stays small. */
function rounded<T extends object>(values: T): T {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      key,
      typeof value === 'number' ? Number(value.toPrecision(5)) : value,
    ]),
  ) as T;
}
