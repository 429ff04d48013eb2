import type { StepLog } from '../../src/index.js';
import { number } from '../ui/format.js';
import { Plot } from './plot.js';

/** The bold line is the mean of so many steps; batches differ. */
const WINDOW = 9;

const x = {
  field: 'step',
  type: 'quantitative',
  scale: { domainMin: 0, domainMax: { expr: 'steps' }, nice: false },
  axis: { tickCount: 4, tickMinStep: 1, format: 'd', grid: false },
};
const y = (field: string) => ({
  field,
  type: 'quantitative',
  scale: { zero: true },
  axis: { tickCount: 4, format: '~g', domain: false, ticks: false },
});

const SPEC = {
  height: 220,
  padding: { left: 4, right: 8, top: 4, bottom: 2 },
  params: [{ name: 'steps', value: 1 }],
  data: { name: 'logs', values: [] },
  layer: [
    {
      mark: {
        type: 'line',
        color: 'var(--accent)',
        strokeWidth: 1,
        opacity: 0.45,
        point: { size: 12, color: 'var(--accent)' },
      },
      encoding: { x, y: y('loss') },
    },
    { mark: { type: 'line', color: 'var(--accent)', strokeWidth: 2.5 }, encoding: { x, y: y('mean') } },
  ],
};

/** The loss of each step so far. */
export class LossCurve {
  private readonly plot: Plot;
  private logs: StepLog[] = [];

  private readonly element: HTMLElement;

  constructor(element: HTMLElement) {
    this.element = element;
    this.plot = new Plot(element, SPEC as never);
  }

  begin(steps: number): void {
    this.logs = [];
    this.element.classList.add('empty');
    this.plot.update({ parameters: { steps }, data: { logs: [] } });
  }

  add(logs: readonly StepLog[]): void {
    this.logs.push(...logs);
    this.element.classList.toggle('empty', this.logs.length === 0);
    this.plot.update({ data: { logs: this.logs.map(({ step, loss }, i) => ({ step, loss, mean: this.meanAt(i) })) } });
    const [first, last] = [this.logs[0], this.logs.at(-1)];
    if (first && last) {
      this.element.ariaLabel = `Loss: ${number(first.loss)} at step ${first.step}, ${number(last.loss)} at step ${last.step}`;
    }
  }

  private meanAt(i: number): number {
    const recent = this.logs.slice(Math.max(0, i - WINDOW + 1), i + 1);
    return recent.reduce((sum, { loss }) => sum + loss, 0) / recent.length;
  }
}
