import { describe, expect, it } from 'vitest';
import { formatTime, startProgress } from '../../src/cli/progress.js';

/** 100 steps of a second (or `step` milliseconds) each, and what is written in the meantime. */
function written(
  stream: { isTTY: boolean; columns: number },
  { quiet = false, step = 1000, steps = 100, start = 0 } = {},
) {
  const texts: string[] = [];
  let time = 5000;
  const write = (text: string) => texts.push(text) > 0;
  const progress = startProgress({
    label: 'train',
    total: 100,
    start,
    quiet,
    stream: { ...stream, write } as NodeJS.WriteStream,
    now: () => time,
  });
  for (let i = start + 1; i <= steps; i++) {
    time += step;
    progress.update(i, { loss: 1 / i });
  }
  if (steps === 100) progress.update(100);
  progress.end();
  return texts;
}

const terminal = { isTTY: true, columns: 200 };
const log = { isTTY: false, columns: 0 };

describe('startProgress', () => {
  it('redraws one line on a terminal, with step, figures, rate and time left', () => {
    const texts = written(terminal);
    expect(texts).toHaveLength(101);
    expect(texts[24]).toBe('\r\x1b[Ktrain  █████░░░░░░░░░░░░░░░  25/100  loss 0.0400  1.00 steps/s  1:15 left');
    expect(texts[99]).toMatch(/100\/100 .* 1:40 in all$/);
    expect(texts[100]).toBe('\n');
  });

  it('redraws no more than ten times a second, but always the last step', () => {
    const texts = written(terminal, { step: 10 });
    expect(texts.length).toBeLessThan(15);
    expect(texts.at(-2)).toContain('100/100');
  });

  it('never wraps', () => {
    for (const text of written({ isTTY: true, columns: 30 })) {
      expect(text.replace('\r\x1b[K', '').length).toBeLessThan(30);
    }
  });

  it('writes a line every ten seconds to a log', () => {
    const texts = written(log);
    expect(texts.map((text) => /(\d+)\/100/.exec(text)?.[1])).toEqual([
      '1',
      '11',
      '21',
      '31',
      '41',
      '51',
      '61',
      '71',
      '81',
      '91',
      '100',
    ]);
    expect(texts[1]).toBe('train  11/100  loss 0.0909  1.00 steps/s  1:29 left\n');
  });

  it('counts the rate from where it started, and leaves the last step done where it is stopped', () => {
    const texts = written(log, { start: 50, steps: 55 });
    expect(texts.at(-1)).toBe('train  55/100  loss 0.0182  1.00 steps/s  0:45 left\n');
  });

  it('counts megabytes to a tenth', () => {
    const texts: string[] = [];
    const write = (text: string) => texts.push(text) > 0;
    const progress = startProgress({
      ...{ label: 'dtd', total: 31.45728, unit: 'MB', now: () => 0 },
      stream: { ...log, write } as NodeJS.WriteStream,
    });
    progress.update(0.131072);
    progress.update(31.45728);
    progress.end();
    expect(texts.map((text) => text.split('  ')[1])).toEqual(['0.1/31.5', '31.5/31.5']);
  });

  it('writes nothing when quiet', () => {
    expect(written(terminal, { quiet: true })).toEqual([]);
  });
});

it('formatTime', () => {
  expect([7.4, 754, 3723, Number.POSITIVE_INFINITY].map(formatTime)).toEqual(['0:07', '12:34', '1:02:03', '?']);
});
