import { describe, expect, it } from 'vitest';
import { NORMALIZATIONS, parseNormalization } from '../../src/data/normalization.js';
import { UsageError } from '../../src/errors.js';

describe('parseNormalization', () => {
  it('knows CIFAR-10 as published, and none', () => {
    const { mean, std } = parseNormalization('cifar');
    expect(mean.map((value) => value * 255)).toEqual([125.3, 123.0, 113.9].map((value) => expect.closeTo(value, 10)));
    expect(std.map((value) => value * 255)).toEqual([63.0, 62.1, 66.7].map((value) => expect.closeTo(value, 10)));
    expect(parseNormalization('none')).toBe(NORMALIZATIONS.none);
  });

  it('takes figures', () => {
    expect(parseNormalization('0.5, 0.4,0/0.25,1,0.1')).toEqual({ mean: [0.5, 0.4, 0], std: [0.25, 1, 0.1] });
  });

  it.each(['', 'imagenet', 'toString', '1,1,1', '0,0/1,1', '0,0,0/1,1,x', '0,0,/1,1,1', '0,0,0/1,1,1/1,1,1'])(
    'refuses %j',
    (text) => {
      expect(() => parseNormalization(text)).toThrow(UsageError);
      expect(() => parseNormalization(text)).toThrow(/^give cifar, none or "r,g,b\/r,g,b" [^\n]+$/);
    },
  );

  it.each(['125,123,113/1,1,1', '-0.1,0,0/1,1,1'])('refuses the mean of %j', (text) => {
    expect(() => parseNormalization(text)).toThrow(/^the mean .* is outside 0\.\.1/);
  });

  it.each(['0,0,0/63,62,66', '0,0,0/0,1,1', '0,0,0/-1,1,1'])('refuses the standard deviation of %j', (text) => {
    expect(() => parseNormalization(text)).toThrow(/^the standard deviation .* is not above 0 and at most 1/);
  });
});
