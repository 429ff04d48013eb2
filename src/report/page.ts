import type { Colour, Draw } from './draw.js';
import { STYLE } from './style.js';
import type { Table } from './table.js';

/** A picture of an image, as a PNG file, and what is said below it. */
export interface Picture {
  readonly png: Uint8Array;
  readonly caption: string;
}

/** A drawn figure, or a row of pictures. */
export interface Figure {
  readonly title: string;
  /** What is seen, and by which convention. */
  readonly caption: string;
  /** What it shows, in words, for those who do not see it. */
  readonly description: string;
  /** Of Vega-Lite. */
  readonly chart?: object;
  readonly pictures?: readonly Picture[];
}

export interface Section {
  readonly title: string;
  readonly text?: string;
  readonly legend?: readonly { readonly label: string; readonly colour: Colour; readonly dash?: readonly number[] }[];
  readonly figures?: readonly Figure[];
  /** Tables that are folded away. */
  readonly details?: readonly { readonly title: string; readonly table: Table }[];
}

export interface Report {
  readonly title: string;
  readonly lead: string;
  readonly table: Table;
  readonly notes: readonly string[];
  readonly sections: readonly Section[];
  /** How it was made. */
  readonly facts: readonly (readonly [name: string, value: string])[];
}

/** The report as one HTML file that needs nothing else: pictures and figures are in it, and it runs no script. */
export async function page({ title, lead, table, notes, sections, facts }: Report, draw: Draw): Promise<string> {
  const body = [
    `<header><h1>${escaped(title)}</h1><p class="lead">${escaped(lead)}</p></header>`,
    tableHtml(table),
    ...(notes.length > 0
      ? [`<ul class="notes">${notes.map((note) => `<li>${escaped(note)}</li>`).join('')}</ul>`]
      : []),
  ];
  for (const section of sections) body.push(await sectionHtml(section, draw));
  const entries = facts.map(([name, value]) => `<dt>${escaped(name)}</dt><dd>${escaped(value)}</dd>`).join('');
  body.push(`<section><h2>How this was made</h2><dl class="facts">${entries}</dl></section>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${body.join('\n')}
</main>
</body>
</html>
`;
}

async function sectionHtml({ title, text, legend, figures = [], details = [] }: Section, draw: Draw): Promise<string> {
  const drawn = [];
  for (const figure of figures) drawn.push(await figureHtml(figure, draw));
  const entries = (legend ?? []).map(({ label, colour, dash }) => {
    const sample = dash
      ? `<line x1="0" y1="5" x2="26" y2="5" stroke="var(--${colour})" stroke-width="2.5" stroke-dasharray="${dash.join(' ')}"/>`
      : `<rect width="26" height="10" rx="2" fill="var(--${colour})" opacity="0.55"/>`;
    return `<li><svg viewBox="0 0 26 10" width="26" height="10" aria-hidden="true">${sample}</svg>${escaped(label)}</li>`;
  });
  const pictures = figures.some(({ pictures }) => pictures);
  return [
    `<section><h2>${escaped(title)}</h2>`,
    ...(text ? [`<p>${escaped(text)}</p>`] : []),
    ...(entries.length > 0 ? [`<ul class="legend">${entries.join('')}</ul>`] : []),
    ...(drawn.length > 0 ? [`<div class="${pictures ? 'strips' : 'figures'}">${drawn.join('\n')}</div>`] : []),
    ...details.map(({ title, table }) => `<details><summary>${escaped(title)}</summary>${tableHtml(table)}</details>`),
    '</section>',
  ].join('\n');
}

async function figureHtml({ title, caption, description, chart, pictures }: Figure, draw: Draw): Promise<string> {
  const content = chart
    ? `<div role="img" aria-label="${escaped(description)}">${await draw(chart)}</div>`
    : `<div class="pictures">${(pictures ?? []).map(pictureHtml).join('')}</div>`;
  return `<figure><h3>${escaped(title)}</h3>${content}<figcaption>${escaped(caption)}</figcaption></figure>`;
}

function pictureHtml({ png, caption }: Picture): string {
  const source = `data:image/png;base64,${base64(png)}`;
  return `<span class="picture"><img src="${source}" alt="${escaped(caption)}" width="64" height="64"><small>${escaped(caption)}</small></span>`;
}

function tableHtml({ caption, head, rows }: Table): string {
  const titles = head.map((title) => `<th scope="col">${escaped(title)}</th>`).join('');
  const lines = rows.map((row) => {
    const cells = row.map(({ text, published, best }, column) => {
      const measured = best ? `<strong>${escaped(text)}</strong>` : escaped(text);
      const beside = published ? `<small title="published">(${escaped(published)})</small>` : '';
      return column === 0 ? `<th scope="row">${measured}${beside}</th>` : `<td>${measured}${beside}</td>`;
    });
    return `<tr>${cells.join('')}</tr>`;
  });
  // The caption stays in the column where a wide table is scrolled.
  const scroller = `<div class="table" role="region" tabindex="0" aria-label="${escaped(head.join(', '))}">`;
  return `${scroller}<table><thead><tr>${titles}</tr></thead><tbody>${lines.join('\n')}</tbody></table></div><p class="caption">${escaped(caption)}</p>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);

function base64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}
