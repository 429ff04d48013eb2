import type { Probe } from '../engine/fine-tune.js';
import { number, percent } from '../ui/format.js';
import { extent, histogram } from './histogram.js';
import { Plot, type Rows } from './plot.js';

const BINS = 44;
const x = (field: string) => ({
  field,
  type: 'quantitative',
  scale: { domainMin: { expr: 'low' }, domainMax: { expr: 'high' }, nice: false, zero: false },
  axis: { tickCount: 7, format: '~g', grid: false },
});
const y = (field: string) => ({
  field,
  type: 'quantitative',
  axis: null,
  scale: { domainMin: 0, domainMax: { expr: 'most' }, nice: false },
});
const colour = { condition: { test: 'datum.inside', value: 'var(--accepted)' }, value: 'var(--refused)' };

const SPEC = {
  height: 220,
  padding: { left: 4, right: 4, top: 4, bottom: 2 },
  params: [
    { name: 'low', value: -1 },
    { name: 'high', value: 0 },
    { name: 'most', value: 1 },
  ],
  layer: [
    {
      data: { name: 'now', values: [] },
      mark: { type: 'rect', opacity: 0.6 },
      encoding: { x: x('x0'), x2: { field: 'x1' }, y: y('share'), y2: { datum: 0 }, color: colour },
    },
    {
      data: { name: 'before', values: [] },
      mark: { type: 'line', interpolate: 'step-after', strokeWidth: 1.5 },
      encoding: { x: x('x0'), y: y('share'), detail: { field: 'inside', type: 'nominal' }, color: { ...colour } },
    },
    {
      data: { name: 'margins', values: [] },
      layer: [
        { mark: { type: 'rule', strokeDash: [3, 4], color: 'var(--muted)' }, encoding: { x: x('at') } },
        {
          // Beside its line, on the side of the other one: there it has room.
          mark: {
            type: 'text',
            align: { expr: 'datum.side > 0 ? "left" : "right"' },
            dx: { expr: '5 * datum.side' },
            dy: 8,
            baseline: 'top',
            color: 'var(--muted)',
            fontSize: 12,
          },
          encoding: { x: x('at'), y: { value: 0 }, text: { field: 'name' } },
        },
      ],
    },
  ],
};

/** Energies of held-out images and of outliers, now and before fine-tuning. */
export class EnergyHistograms {
  private readonly plot: Plot;
  private before: Probe | undefined;
  private margins: { mIn: number; mOut: number } | undefined;

  private readonly element: HTMLElement;

  constructor(element: HTMLElement) {
    this.element = element;
    this.plot = new Plot(element, SPEC as never);
  }

  begin(): void {
    this.element.classList.add('empty');
    this.before = undefined;
    this.margins = undefined;
  }

  setMargins(margins: { mIn: number; mOut: number }): void {
    this.margins = margins;
    if (this.before) this.show(this.before);
  }

  show(probe: Probe): void {
    this.before ??= probe;
    this.element.classList.remove('empty');
    const { before, margins } = this;
    const [low, high] = extent(
      before.inDistribution,
      before.outliers,
      probe.inDistribution,
      probe.outliers,
      margins ? [margins.mIn, margins.mOut] : [],
    );
    const shares = (energies: Float64Array, inside: boolean) =>
      histogram(energies, low, high, BINS).map((bin) => ({ ...bin, share: bin.count / energies.length, inside }));
    const both = ({ inDistribution, outliers }: Probe): Rows & { share: number }[] => [
      ...shares(inDistribution, true),
      ...shares(outliers, false),
    ];
    const [now, first] = [both(probe), both(before)];
    this.plot.update({
      parameters: { low, high, most: 1.1 * Math.max(...[...now, ...first].map(({ share }) => share)) },
      data: {
        now,
        before: first,
        margins: margins
          ? [
              { at: margins.mIn, name: 'm_in', side: 1 },
              { at: margins.mOut, name: 'm_out', side: -1 },
            ]
          : [],
      },
    });
    this.element.ariaLabel =
      `Energies of held-out images, mean ${number(mean(probe.inDistribution))} in-distribution, and of ` +
      `${probe.heldOut ? 'held-out outliers' : 'the outliers it is trained with'}, mean ${number(mean(probe.outliers))}, ` +
      `of which ${percent(probe.refused)} are refused`;
  }
}

const mean = (values: Float64Array) => values.reduce((a, b) => a + b, 0) / values.length;
