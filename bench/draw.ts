import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { isTime, type Results, type TimeRow } from './results.js';

const COLOURS = {
  energate: '#0b6e4f',
  'energate-float16': '#2c9c76',
  'energate-matrices': '#1b4f72',
  'energate-unfolded': '#66c2a5',
  tfjs: '#d95f02',
  jax: '#7570b3',
  'tfjs-wasm': '#999999',
  torch: '#e7298a',
  'torch-autocast': '#f2a7cf',
};

const TICKS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000];

/** The results as an SVG: each engine's time against energate's, and its share of the ceiling, case by case. */
export async function draw(results: Results): Promise<string> {
  const compared = new Set(results.rows.filter((row) => isTime(row) && row.ratio !== undefined).map((row) => row.case));
  const rows = results.rows.filter(isTime).filter((row) => compared.has(row.case));
  const values = rows.map((row) => ({ ...row, times: row.ratio ?? 1, percent: share(row) }));
  const known = Object.keys(COLOURS);
  const engines = [...new Set(rows.map(({ engine }) => engine))].sort((a, b) => known.indexOf(a) - known.indexOf(b));
  const colours = engines.map((name) => [name, colourOf(name)] as const);
  const order = [...new Set(rows.map((row) => row.case))];
  const y = { field: 'case', type: 'nominal', sort: order, title: null } as const;
  const colour = {
    field: 'engine',
    type: 'nominal',
    title: null,
    sort: colours.map(([engine]) => engine),
    scale: { domain: colours.map(([engine]) => engine), range: colours.map(([, colour]) => colour) },
  } as const;
  const panel = { width: 440, height: { step: 16 } } as const;
  const spec: TopLevelSpec = {
    background: 'white',
    title: {
      text: 'energate beside its peers',
      subtitle: `${results.adapter?.description || results.adapter?.device}, ${results.date.slice(0, 10)}; ${results.command}`,
      anchor: 'start',
    },
    data: { values },
    spacing: 30,
    hconcat: [
      {
        ...panel,
        title: { text: "time, in energate's (log scale): further right is slower", fontWeight: 'normal' },
        layer: [
          {
            mark: { type: 'rule', color: '#ddd' },
            encoding: { y, x: { aggregate: 'min', field: 'times' }, x2: { aggregate: 'max', field: 'times' } },
          },
          {
            mark: { type: 'point', filled: true, size: 55, opacity: 1 },
            encoding: {
              y,
              x: {
                field: 'times',
                type: 'quantitative',
                scale: { type: 'log' },
                axis: { values: TICKS, format: '~g' },
                title: "times energate's median",
              },
              color: colour,
            },
          },
        ],
      },
      {
        ...panel,
        width: 260,
        title: { text: 'share of the ceiling: further right is better', fontWeight: 'normal' },
        layer: [
          { mark: { type: 'rule', color: '#888', strokeDash: [4, 3] }, encoding: { x: { datum: 100 } } },
          {
            transform: [{ filter: 'isValid(datum.percent)' }],
            mark: { type: 'point', filled: true, size: 55, opacity: 1 },
            encoding: {
              y: { ...y, axis: { labels: false, ticks: false, maxExtent: 0 } },
              x: { field: 'percent', type: 'quantitative', title: '% of the best matrix product, or of a copy' },
              color: colour,
            },
          },
        ],
      },
    ],
    config: { axis: { grid: true, labelLimit: 400 }, legend: { orient: 'bottom' } },
  };
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' });
  return view.toSVG();
}

/** Black for an engine that has none yet. */
const colourOf = (engine: string): string => (COLOURS as Readonly<Record<string, string>>)[engine] ?? '#000000';

const share = ({ ceiling_share }: TimeRow): number | undefined =>
  ceiling_share === undefined ? undefined : 100 * ceiling_share;
