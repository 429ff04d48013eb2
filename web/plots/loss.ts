import type { StepLog } from '../../src/index.js';
import { number } from '../ui/format.js';
import { Plot } from './plot.js';

const SPEC = {
  height: 220,
  padding: { left: 4, right: 8, top: 4, bottom: 2 },
  params: [{ name: 'steps', value: 1 }],
  data: { name: 'logs', values: [] },
  mark: {
    type: 'line',
    color: 'var(--accent)',
    strokeWidth: 2,
    point: { size: 14, filled: true, color: 'var(--accent)' },
  },
  encoding: {
    x: {
      field: 'step',
      type: 'quantitative',
      scale: { domainMin: 0, domainMax: { expr: 'steps' }, nice: false },
      axis: { tickCount: 4, tickMinStep: 1, format: 'd', grid: false },
    },
    y: {
      field: 'loss',
      type: 'quantitative',
      scale: { zero: true },
      axis: { tickCount: 4, domain: false, ticks: false },
    },
  },
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
    this.plot.update({ parameters: { steps }, data: { logs: [] } });
  }

  add(logs: readonly StepLog[]): void {
    this.logs.push(...logs);
    this.plot.update({ data: { logs: this.logs.map(({ step, loss }) => ({ step, loss })) } });
    const [first, last] = [this.logs[0], this.logs.at(-1)];
    if (first && last) {
      this.element.ariaLabel = `Loss: ${number(first.loss)} at step ${first.step}, ${number(last.loss)} at step ${last.step}`;
    }
  }
}
