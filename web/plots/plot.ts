import type { View } from 'vega';
import type { TopLevelSpec } from 'vega-lite';

export type Rows = readonly Readonly<Record<string, unknown>>[];

/** New rows by the name of their data set, and values of parameters. */
export interface PlotUpdate {
  readonly data?: Readonly<Record<string, Rows>>;
  readonly parameters?: Readonly<Record<string, number>>;
}

/** Colours are the page's custom properties, so a plot follows the theme without being drawn again. */
const CONFIG: TopLevelSpec['config'] = {
  background: 'transparent',
  font: 'var(--font)',
  view: { stroke: null },
  axis: {
    labelColor: 'var(--muted)',
    labelFontSize: 12,
    labelPadding: 6,
    tickColor: 'var(--line)',
    domainColor: 'var(--line)',
    gridColor: 'var(--line)',
    title: null,
  },
};

/** A Vega-Lite view as wide as its element. Updates before Vega is loaded, or within one frame, are put together. */
export class Plot {
  private view: View | undefined;
  private data: Record<string, Rows> = {};
  private parameters: Record<string, number> = {};
  private scheduled = false;
  private width = 0;

  private readonly element: HTMLElement;
  private readonly onDrawn: (view: View) => void;

  constructor(
    element: HTMLElement,
    spec: Omit<TopLevelSpec, 'config' | 'width'>,
    /** Called after each drawing. */
    onDrawn: (view: View) => void = () => {},
  ) {
    this.element = element;
    this.onDrawn = onDrawn;
    new ResizeObserver(() => this.schedule()).observe(element);
    void this.open(spec);
  }

  update({ data, parameters }: PlotUpdate): void {
    Object.assign(this.data, data);
    Object.assign(this.parameters, parameters);
    this.schedule();
  }

  private async open(spec: Omit<TopLevelSpec, 'config' | 'width'>): Promise<void> {
    const { compile, expressionInterpreter, parse, View } = await import('./vega.js');
    const compiled = compile({
      ...spec,
      width: 300,
      autosize: { type: 'fit-x', contains: 'padding' },
      config: CONFIG,
    } as TopLevelSpec);
    // Without the interpreter Vega makes functions of strings, which the page's content security policy forbids.
    const runtime = parse(compiled.spec, undefined, { ast: true });
    this.view = new View(runtime, { renderer: 'svg', expr: expressionInterpreter, hover: false } as never);
    const drawing = document.createElement('div');
    drawing.ariaHidden = 'true';
    this.element.prepend(drawing);
    this.view.initialize(drawing);
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      void this.draw();
    });
  }

  private async draw(): Promise<void> {
    const { view } = this;
    const width = this.element.clientWidth;
    if (!view || width === 0) return;
    if (width !== this.width) view.width(width);
    this.width = width;
    for (const [name, rows] of Object.entries(this.data)) view.data(name, [...rows]);
    for (const [name, value] of Object.entries(this.parameters)) view.signal(name, value);
    this.data = {};
    this.parameters = {};
    await view.runAsync();
    this.onDrawn(view);
  }
}
