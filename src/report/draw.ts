import type { View } from 'vega';
import type { TopLevelSpec } from 'vega-lite';
import { UsageError } from '../errors.js';

/** Colours by what they are for: the page decides what each is, in light and in dark. */
export const COLOURS = {
  ink: '#100001',
  muted: '#100002',
  grid: '#100003',
  surface: '#100004',
  in: '#100010',
  out: '#100011',
  softmax: '#100020',
  energy: '#100021',
  odin: '#100022',
  mahalanobis: '#100023',
  oe: '#100024',
  softmax_tuned: '#100025',
  energy_tuned: '#100026',
  s0: '#100030',
  s1: '#100031',
  s2: '#100032',
  s3: '#100033',
  s4: '#100034',
  s5: '#100035',
  s6: '#100036',
  s7: '#100037',
  s8: '#100038',
} as const;

export type Colour = keyof typeof COLOURS;

/** Draws specifications of Vega-Lite as SVG. Make one with {@link loadDrawing}. */
export type Draw = (spec: object) => Promise<string>;

/**
 * Vega and Vega-Lite, which are optional peers.
 * @throws UsageError where they are not installed
 */
export async function loadDrawing(): Promise<Draw> {
  const { compile, parse, View: VegaView } = await load();
  return async (spec) => {
    const { spec: compiled } = compile({ ...spec, config: CONFIG, background: 'transparent' } as TopLevelSpec, {
      logger: QUIET,
    });
    const view: View = new VegaView(parse(compiled), { renderer: 'none' });
    const svg = await view.toSVG();
    view.finalize();
    return themed(svg);
  };
}

async function load() {
  try {
    const [vega, lite] = await Promise.all([import('vega'), import('vega-lite')]);
    return { compile: lite.compile, parse: vega.parse, View: vega.View };
  } catch (error) {
    const [reason] = (error as Error).message.split('\n');
    throw new UsageError(
      `reports are drawn by vega and vega-lite, which cannot be loaded (${reason}): npm install vega vega-lite`,
    );
  }
}

/** Vega-Lite warns of nothing that a fixed specification could do about it. */
const QUIET = {
  level: () => QUIET,
  error: () => QUIET,
  warn: () => QUIET,
  info: () => QUIET,
  debug: () => QUIET,
} as never;

const CONFIG = {
  // The page describes each figure as a whole.
  aria: false,
  font: 'system-ui, sans-serif',
  view: { stroke: null },
  axis: {
    domainColor: COLOURS.muted,
    tickColor: COLOURS.muted,
    gridColor: COLOURS.grid,
    labelColor: COLOURS.muted,
    titleColor: COLOURS.ink,
    titleFontWeight: 'normal',
    labelFontSize: 10,
    titleFontSize: 11,
  },
  legend: { labelColor: COLOURS.ink, titleColor: COLOURS.ink },
};

/** Each stand-in colour as the page's variable, and the picture's size left to the page. */
function themed(svg: string): string {
  const names = new Map<string, string>(Object.entries(COLOURS).map(([name, value]) => [value, name]));
  return svg
    .replace(/#1000\d\d/g, (value) => (names.has(value) ? `var(--${names.get(value)})` : value))
    .replace(/^<svg/, '<svg aria-hidden="true" focusable="false"')
    .replace(/(<svg[^>]*?) width="[\d.]+" height="[\d.]+"/, '$1');
}
