import type { View } from 'vega';
import type { Calibrator, Gate } from '../../src/index.js';
import { number } from '../ui/format.js';
import { type Bin, extent, histogram } from './histogram.js';
import { Plot } from './plot.js';

/** A picture on the axis. */
export interface Mark {
  readonly score: number;
  readonly url: string;
  readonly accepted: boolean;
}

const HEIGHT = 300;
const BINS = 60;
/** Pictures lie above the histogram, in lanes. */
const LANES_HEIGHT = 128;
/** The side of a picture's frame, in pixels, by the width of the axis. */
const sideOf = (width: number) => (width < 500 ? 18 : 28);
const GAP = 3;

const x = (field: string) => ({
  field,
  type: 'quantitative',
  scale: {
    domainMin: { expr: 'low' },
    domainMax: { expr: 'high' },
    reverse: { expr: 'reversed' },
    nice: false,
    zero: false,
  },
  axis: { tickCount: 7, format: '~g', grid: false },
});
const verdict = { condition: { test: 'datum.accepted', value: 'var(--accepted)' }, value: 'var(--refused)' };

const SPEC = {
  height: HEIGHT,
  padding: { left: 4, right: 4, top: 26, bottom: 2 },
  params: [
    { name: 'low', value: 0 },
    { name: 'high', value: 1 },
    { name: 'reversed', value: 0 },
    { name: 'most', value: 1 },
    { name: 'side', value: 28 },
  ],
  layer: [
    {
      data: { name: 'zone', values: [] },
      mark: { type: 'rect', color: 'var(--refused-wash)' },
      encoding: { x: x('from'), x2: { field: 'to' } },
    },
    {
      data: { name: 'bins', values: [] },
      mark: { type: 'rect' },
      encoding: {
        x: x('x0'),
        x2: { field: 'x1' },
        y: {
          field: 'count',
          type: 'quantitative',
          axis: null,
          scale: { domainMin: 0, domainMax: { expr: 'most' }, nice: false },
        },
        y2: { datum: 0 },
        color: verdict,
      },
    },
    {
      data: { name: 'taus', values: [] },
      mark: { type: 'rule', color: 'var(--tau)', strokeWidth: { expr: 'datum.width' } },
      encoding: { x: x('tau') },
    },
    {
      data: { name: 'marks', values: [] },
      layer: [
        {
          mark: { type: 'rule', strokeWidth: 1, opacity: 0.7 },
          encoding: {
            x: x('x'),
            y: { field: 'bottom', type: 'quantitative', scale: null, axis: null },
            y2: { value: HEIGHT },
            color: verdict,
          },
        },
        {
          mark: { type: 'square', size: { expr: 'side * side' }, opacity: 1 },
          encoding: { x: x('x'), y: { field: 'y', type: 'quantitative', scale: null, axis: null }, color: verdict },
        },
        {
          mark: { type: 'image', width: { expr: 'side - 4' }, height: { expr: 'side - 4' }, smooth: false },
          encoding: {
            x: x('x'),
            y: { field: 'y', type: 'quantitative', scale: null, axis: null },
            url: { field: 'url' },
          },
        },
      ],
    },
  ],
};

/** The page's centre: calibration scores, τ, and each picture where its score lies. */
export class GateAxis {
  private readonly plot: Plot;
  private readonly label = document.createElement('p');
  private threshold = 0;

  private readonly element: HTMLElement;

  constructor(element: HTMLElement) {
    this.element = element;
    this.label.className = 'tau-label';
    this.plot = new Plot(element, SPEC as never, (view) => this.place(view));
    element.append(this.label);
  }

  /** @param calibrators of the gate, one or one a class */
  show(gate: Gate, calibrators: readonly Calibrator[], marks: readonly Mark[]): void {
    const sign = gate.score === 'energy' ? -1 : 1;
    const scores = gate.calibration.scores.map((score) => sign * score);
    const placed = marks.map((mark) => ({ ...mark, x: sign * mark.score }));
    const [low, high] = extent(
      scores,
      placed.map((mark) => mark.x),
    );
    const taus = calibrators.map(({ threshold }) => sign * threshold);
    const [first] = taus;
    this.threshold = first!;
    const refusedEnd = sign < 0 ? high : low;
    const bins = histogram(scores, low, high, BINS).flatMap((bin) => splitAt(bin, taus));
    // With a threshold for each class a bin may be both: it is drawn as most of its classes see it.
    const accepted = (middle: number) => taus.filter((tau) => sign * middle >= sign * tau).length * 2 > taus.length;
    this.plot.update({
      parameters: {
        low,
        high,
        reversed: sign > 0 ? 1 : 0,
        side: sideOf(this.element.clientWidth),
        most: Math.max(1, ...bins.map(({ count }) => count)) * (placed.length > 0 ? 1.9 : 1.12),
      },
      data: {
        zone: taus.length === 1 ? [{ from: first, to: refusedEnd }] : [],
        bins: bins.map((bin) => ({ ...bin, accepted: accepted((bin.x0 + bin.x1) / 2) })),
        taus: taus.map((tau) => ({ tau, width: taus.length === 1 ? 2 : 1 })),
        marks: this.inLanes(placed, low, high),
      },
    });
    this.label.textContent = taus.length === 1 ? `τ = ${number(first!)}` : `${taus.length} thresholds, one a class`;
    this.element.ariaLabel = describe(gate, taus, placed);
  }

  /** Side by side where they would cover each other: each in the lowest lane that is free there. */
  private inLanes<T extends { x: number }>(marks: readonly T[], low: number, high: number) {
    const width = this.element.clientWidth;
    const side = sideOf(width);
    const pitch = side + GAP;
    const lanes = Math.floor(LANES_HEIGHT / pitch);
    const ends = new Array<number>(lanes).fill(-Infinity);
    return marks
      .toSorted((a, b) => a.x - b.x)
      .map((mark) => {
        const at = (mark.x * width) / (high - low);
        const free = ends.findIndex((end) => end <= at);
        const lane = free >= 0 ? free : ends.indexOf(Math.min(...ends));
        ends[lane] = at + pitch;
        const y = pitch / 2 + (lanes - 1 - lane) * pitch;
        return { ...mark, y, bottom: y + side / 2 };
      });
  }

  private place(view: View): void {
    const at = (view.scale('x') as (value: number) => number)(this.threshold) + view.origin()[0]!;
    const room = this.element.clientWidth - this.label.offsetWidth;
    this.label.style.translate = `${Math.max(0, Math.min(room, at - this.label.offsetWidth / 2))}px`;
  }
}

/** A bin that τ goes through, in two of its height, so that each side has its colour. */
function splitAt(bin: Bin, taus: readonly number[]): Bin[] {
  const [tau] = taus;
  if (taus.length > 1 || tau! <= bin.x0 || tau! >= bin.x1) return [bin];
  return [
    { ...bin, x1: tau! },
    { ...bin, x0: tau! },
  ];
}

function describe(gate: Gate, taus: readonly number[], marks: readonly { accepted: boolean }[]): string {
  const what = gate.score === 'energy' ? 'energies' : `${gate.score} scores`;
  const threshold = taus.length === 1 ? `the threshold is ${number(taus[0]!)}` : `there are ${taus.length} thresholds`;
  const accepted = marks.filter((mark) => mark.accepted).length;
  const pictures = marks.length > 0 ? `; of ${marks.length} pictures ${accepted} are accepted` : '';
  return `Histogram of ${gate.calibration.scores.length} calibration ${what}; ${threshold}${pictures}`;
}
