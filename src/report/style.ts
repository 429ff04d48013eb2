import type { Colour } from './draw.js';

/** Each colour in light and in dark. Those of lines are told apart by those who see no red or no green, too. */
const THEME: Readonly<Record<Colour | 'tint', readonly [light: string, dark: string]>> = {
  surface: ['#ffffff', '#14171a'],
  tint: ['#f4f6f8', '#1d2227'],
  ink: ['#16191d', '#e8eaed'],
  muted: ['#565d66', '#a3abb5'],
  grid: ['#e3e6ea', '#2b3138'],
  in: ['#0072b2', '#56b4e9'],
  out: ['#d55e00', '#f0904d'],
  softmax: ['#6b7280', '#9aa3af'],
  energy: ['#0072b2', '#56b4e9'],
  odin: ['#b8860b', '#f0c330'],
  mahalanobis: ['#a0437f', '#e28fc4'],
  oe: ['#007a5a', '#2fc79a'],
  softmax_tuned: ['#8a6d3b', '#c9a76a'],
  energy_tuned: ['#d55e00', '#f0904d'],
  s0: ['#16191d', '#e8eaed'],
  s1: ['#0072b2', '#56b4e9'],
  s2: ['#d55e00', '#f0904d'],
  s3: ['#007a5a', '#2fc79a'],
  s4: ['#a0437f', '#e28fc4'],
  s5: ['#b8860b', '#f0c330'],
  s6: ['#4453c4', '#9aa5ff'],
  s7: ['#6b7280', '#9aa3af'],
  s8: ['#8a6d3b', '#c9a76a'],
};

const variables = (which: 0 | 1) =>
  Object.entries(THEME)
    .map(([name, colours]) => `--${name}:${colours[which]}`)
    .join(';');

/** The page's style sheet. */
export const STYLE = `
:root{${variables(0)}}
@media (prefers-color-scheme:dark){:root{${variables(1)}}}
*{box-sizing:border-box}
body{margin:0;background:var(--surface);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.15rem;margin:2.5rem 0 .5rem;padding-top:.75rem;border-top:1px solid var(--grid)}
h3{font-size:.9rem;margin:0 0 .25rem;font-weight:600}
p,.lead{max-width:75ch}
.lead{font-size:1.05rem;color:var(--muted)}
.table{overflow-x:auto;margin:1rem 0 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
.caption{color:var(--muted);font-size:.85rem;margin:.5rem 0 1rem}
th,td{padding:.35rem .6rem;font-size:.92rem;text-align:right;white-space:nowrap;vertical-align:top;border-bottom:1px solid var(--grid)}
thead th{border-bottom:2px solid var(--muted);vertical-align:bottom}
th[scope=row],thead th:first-child{text-align:left;font-weight:500;padding-left:0}
tbody tr:last-child>*{border-bottom:2px solid var(--muted)}
td small,th small{display:block;color:var(--muted);font-size:.78rem}
.notes{color:var(--muted);font-size:.9rem;padding-left:1.2rem}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.35rem 1.4rem;padding:0;margin:.5rem 0 1rem;font-size:.9rem}
.legend li{display:flex;align-items:center;gap:.5rem}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(310px,1fr));gap:1.5rem}
.strips{display:grid;gap:1.25rem}
figure{margin:0;break-inside:avoid}
figure svg{display:block;width:100%;max-width:420px;height:auto}
figcaption{color:var(--muted);font-size:.82rem;margin-top:.25rem;max-width:70ch}
.pictures{display:flex;flex-wrap:wrap;gap:.6rem}
.picture{display:inline-flex;flex-direction:column;width:84px;font-size:.74rem;line-height:1.25;color:var(--muted)}
.picture img{image-rendering:pixelated;border-radius:3px;background:var(--tint)}
.picture small{font-size:inherit;margin-top:.2rem}
details{margin:1rem 0}
summary{cursor:pointer}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;font-size:.88rem}
.facts dt{color:var(--muted)}
.facts dd{margin:0;overflow-wrap:anywhere}
@media print{body{font-size:11px}main{max-width:none;padding:0}}
`;
