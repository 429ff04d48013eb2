import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import * as options from '../../src/cli/options.js';

/** The value that an option `-o` has after parsing, or the message that refuses it. */
function parse<T>(parser: (text: string, previous?: T) => T, ...texts: string[]): unknown {
  const command = new Command()
    .option('--it <value>', '', parser as (text: string) => T)
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  try {
    return command
      .parse(
        texts.flatMap((text) => ['--it', text]),
        { from: 'user' },
      )
      .opts().it;
  } catch (error) {
    return (error as Error).message;
  }
}

describe.each([
  ['number', options.number, ['-23', '0', '1e-3', ' 4 '], ['', ' ', 'x', '1x', 'NaN', 'Infinity', '1,5']],
  ['positiveNumber', options.positiveNumber, ['0.1', '1000'], ['0', '-1', 'x']],
  ['nonNegativeNumber', options.nonNegativeNumber, ['0', '0.1'], ['-0.1', 'x']],
  ['probability', options.probability, ['0', '0.3', '0.999'], ['1', '-0.1', '30%']],
  ['positiveInteger', options.positiveInteger, ['1', '128'], ['0', '-1', '1.5', '1e300', 'x']],
  ['seed', options.seed, ['0', '4294967295'], ['-1', '4294967296', '0.5']],
] as const)('%s', (_, parser, good, bad) => {
  it.each(good)('takes %j', (text) => {
    expect(parse(parser, text)).toBe(Number(text));
  });

  it.each(bad)('refuses %j, naming the option and what to give', (text) => {
    expect(parse(parser, text)).toMatch(/^error: option '--it <value>' argument '.*' is invalid\. give a [^\n]+$/);
  });
});

describe('normalization', () => {
  it('takes a name', () => {
    expect(parse(options.normalization, 'none')).toEqual({ mean: [0, 0, 0], std: [1, 1, 1] });
  });

  it('refuses with what was wrong', () => {
    expect(parse(options.normalization, '125,123,113/63,62,66')).toMatch(/'--it <value>'.* divide figures of 0\.\.255/);
  });
});

describe('namedPath', () => {
  it('gathers pairs in order; a path may hold =', () => {
    const sets = parse(options.namedPath, 'svhn=a.npz', 'dtd=b=c.npz') as Map<string, string>;
    expect([...sets]).toEqual([
      ['svhn', 'a.npz'],
      ['dtd', 'b=c.npz'],
    ]);
  });

  it.each(['a.npz', '=a.npz', 'svhn=', ''])('refuses %j', (text) => {
    expect(parse(options.namedPath, text)).toMatch(/give NAME=PATH/);
  });

  it('refuses a name twice', () => {
    expect(parse(options.namedPath, 'a=1', 'a=2')).toMatch(/the name a is taken already/);
  });
});

describe('oodSet', () => {
  it('takes the name of a family of validation outliers alone, and any other with its path', () => {
    const sets = parse(options.oodSet, 'jigsaw', 'svhn=a.npz', 'speckle=b.npz') as Map<string, string>;
    expect([...sets]).toEqual([
      ['jigsaw', ''],
      ['svhn', 'a.npz'],
      ['speckle', 'b.npz'],
    ]);
    expect(parse(options.oodSet, 'svhn')).toMatch(/give NAME=PATH/);
    expect(parse(options.oodSet, 'jigsaw', 'jigsaw=a.npz')).toMatch(/the name jigsaw is taken already/);
  });
});

describe('listOf', () => {
  const scores = options.listOf(['msp', 'energy', 'maxlogit']);

  it('takes members in the order given', () => {
    expect(parse(scores, 'energy, msp')).toEqual(['energy', 'msp']);
  });

  it.each(['', 'odin', 'msp,', 'msp,msp', 'toString'])('refuses %j', (text) => {
    expect(parse(scores, text)).toMatch(/give one or more of msp, energy, maxlogit, each once/);
  });
});
