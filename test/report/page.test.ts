import { describe, expect, it, vi } from 'vitest';
import { heatMap, histogram, lines } from '../../src/report/charts.js';
import { loadDrawing } from '../../src/report/draw.js';
import { page, type Report } from '../../src/report/page.js';
import { csv, markdown, type Table } from '../../src/report/table.js';

const table: Table = {
  caption: 'FPR95, %. In-distribution positive.',
  head: ['set', 'Energy'],
  rows: [
    [{ text: 'svhn' }, { text: '57.65', best: true, published: '35.59' }],
    [{ text: 'a|b' }, { text: '12.00' }],
  ],
};

const report: Report = {
  title: 'Table <1>',
  lead: 'Softmax & energy',
  table,
  notes: ['ODIN is left out.'],
  sections: [
    {
      title: 'Figures',
      legend: [{ label: 'Energy', colour: 'energy', dash: [6, 2] }],
      figures: [
        {
          title: 'histogram',
          caption: 'each of area 1',
          description: 'means 1 and 2',
          chart: histogram(
            {
              edges: [0, 1, 2],
              groups: [
                [0.25, 0.75],
                [1, 0],
              ],
            },
            'negative energy',
          ),
        },
        {
          title: 'curve',
          caption: 'all images',
          description: 'a curve',
          chart: lines(
            [
              {
                name: 'energy',
                colour: 'energy',
                points: [
                  [0, 0],
                  [0.5, 0.9],
                  [1, 1],
                ],
              },
            ],
            { x: 'false positive rate', y: 'true positive rate' },
          ),
        },
        {
          title: 'heat map',
          caption: 'the framed pair',
          description: 'from 10 % to 20 %',
          chart: heatMap(
            [
              { x: -23, y: -5, value: 0.1234, chosen: true },
              { x: -19, y: -5, value: 0.2, chosen: false },
            ],
            { x: 'm_in', y: 'm_out' },
          ),
        },
      ],
    },
    {
      title: 'Pictures',
      figures: [
        {
          title: 'svhn',
          caption: 'hardest',
          description: '',
          pictures: [{ png: Uint8Array.of(1, 2, 3), caption: '"7"' }],
        },
      ],
    },
  ],
  facts: [['Command', 'energate experiment table1']],
};

describe('the report', async () => {
  const html = await page(report, await loadDrawing());

  it('needs nothing but itself: no script, no address but the namespace of SVG', () => {
    expect(html).not.toMatch(/<script|<link|@import|url\(/);
    const addresses = html.match(/\w+:\/\/[^\s"'<>]+/g) ?? [];
    expect([...new Set(addresses)].filter((address) => !address.startsWith('http://www.w3.org/'))).toEqual([]);
  });

  it('says what it shows to those who do not see it, and escapes what it is given', () => {
    expect(html).toContain('<h1>Table &lt;1&gt;</h1>');
    expect(html).toContain('<div role="img" aria-label="means 1 and 2"><svg aria-hidden="true"');
    expect(html).toContain('<img src="data:image/png;base64,AQID" alt="&quot;7&quot;"');
    expect(html).toMatch(/<th scope="row">svhn<\/th><td><strong>57\.65<\/strong><small title="published">\(35\.59\)/);
  });

  it('draws every figure in the colours of the page, in light and in dark', () => {
    expect(html.match(/<svg aria-hidden="true" focusable/g)).toHaveLength(3);
    for (const colour of ['in', 'out', 'energy', 'ink', 'grid']) expect(html).toContain(`var(--${colour})`);
    expect(html).not.toMatch(/#1000\d\d/);
    const styles = /:root\{(.*?)\}[\s\S]*prefers-color-scheme:dark\)\{:root\{(.*?)\}/.exec(html)!;
    const names = (text: string) => text.split(';').map((rule) => rule.split(':')[0]);
    expect(names(styles[1]!)).toEqual(names(styles[2]!));
    for (const used of new Set(html.match(/var\((--\w+)\)/g))) expect(styles[1]).toContain(used.slice(4, -1));
    expect(html).toContain('>12.3%<');
    expect(html).toContain('>false positive rate<');
  });
});

it('Markdown: the best in bold, published figures in brackets, bars escaped', () => {
  expect(markdown(table)).toBe(
    [
      '| set | Energy |',
      '| --- | --- |',
      '| svhn | **57.65** (35.59) |',
      '| a\\|b | 12.00 |',
      '',
      'FPR95, %. In-distribution positive.',
    ].join('\n'),
  );
});

it('CSV: quotes where there have to be some', () => {
  expect(
    csv([
      { set: 'a,b', fpr95: 0.5 },
      { set: 'say "x"', fpr95: undefined },
    ]),
  ).toBe('set,fpr95\n"a,b",0.5\n"say ""x""",\n');
});

it('without vega, says what to install', async () => {
  vi.resetModules();
  vi.doMock('vega', () => {
    throw new Error("Cannot find package 'vega'");
  });
  const fresh = await import('../../src/report/draw.js');
  await expect(fresh.loadDrawing()).rejects.toThrow(
    /^reports are drawn by vega and vega-lite, which cannot be loaded \(.*\): npm install vega vega-lite$/,
  );
  vi.doUnmock('vega');
});
