import { describe, expect, it } from 'vitest';
import { distance, refusal, sample } from '../../bench/compare.js';
import { complete } from '../../bench/report.js';
import type { Row, TimeRow } from '../../bench/results.js';
import { spread } from '../../bench/statistics.js';
import { toleranceOf, tolerancesOf } from '../../bench/tolerance.js';
import type { Case } from '../../bench/workloads.js';

const right = Float32Array.of(3, 4);

describe('the check before timing', () => {
  it('takes right numbers', () => {
    expect(refusal([right.slice()], [right], () => 0)).toBeUndefined();
    expect(distance(Float32Array.of(3, 4.5), right)).toBeCloseTo(0.1, 12);
    expect(refusal([Float32Array.of(3, 4.5)], [right], () => 0.11)).toBeUndefined();
  });

  it.each([
    ['zeros', [new Float32Array(2)]],
    ['NaN', [Float32Array.of(3, NaN)]],
    ['too far', [Float32Array.of(3, 4.5)]],
    ['too short', [Float32Array.of(3)]],
    ['too few results', []],
  ])('refuses %s', (_, found) => {
    expect(refusal(found, [right], () => 0.09)).toMatch(/differs by|0 results instead of 1/);
  });

  it('refuses a reference of zeros, which every dead kernel would match', () => {
    expect(refusal([new Float32Array(2)], [new Float32Array(2)], () => 1)).toMatch('all zeros');
  });

  it('finds a wrong channel in a large result', () => {
    const large = new Float32Array(2 ** 22 * 3).fill(1);
    const wrong = large.map((value, i) => (i % 32 === 5 ? 0 : value));
    expect(refusal([sample(wrong)], [sample(large)], () => 0.1)).toMatch('differs');
  });
});

describe('the tolerance', () => {
  const step = { name: '', kind: 'step', tolerance: 1e-2 } as Case;
  const product = { name: '', kind: 'matmul', tolerance: 1e-5 } as Case;

  it('is the case’s in float32', () => {
    expect(toleranceOf(product, 'float32')).toBe(1e-5);
    expect(toleranceOf(step, 'float32')).toBe(1e-2);
  });

  it('is looser in fewer bits, and most so through a network', () => {
    expect(toleranceOf(product, 'float16')).toBe(0.02);
    expect(toleranceOf(step, 'float16')).toBe(0.3);
    expect(toleranceOf(product, 'bfloat16')).toBeGreaterThan(0.02);
  });

  it('of a step’s loss is tighter than that of its gradients', () => {
    expect([0, 1].map(tolerancesOf(step, 'float32'))).toEqual([1e-4, 1e-2]);
    expect([0, 1].map(tolerancesOf(step, 'float16'))).toEqual([0.01, 0.3]);
    expect([0, 1].map(tolerancesOf(product, 'float32'))).toEqual([1e-5, 1e-5]);
  });

  it('is never tighter than the case’s', () => {
    expect(toleranceOf(step, 'cuDNN float32')).toBe(1e-2);
  });
});

const cases = [
  { name: 'matmul', kind: 'matmul', parameters: { m: 1, n: 1, k: 1 }, flops: 8e9, tolerance: 0 },
  { name: 'a', kind: 'sgd', parameters: { size: 1 }, flops: 1e9, tolerance: 0, group: 'g' },
  { name: 'b', kind: 'sgd', parameters: { size: 1 }, flops: 3e9, tolerance: 0, group: 'g' },
  { name: 'copy 1', kind: 'copy', parameters: { bytes: 1 }, bytes: 1e6, tolerance: 0 },
  { name: 'copy 2', kind: 'copy', parameters: { bytes: 1 }, bytes: 1e9, tolerance: 0 },
  { name: 'loss', kind: 'sgd', parameters: { size: 1 }, bytes: 5e8, tolerance: 0 },
] as const satisfies Case[];

const row = (name: string, engine: string, ms: number, rate: Partial<TimeRow>): TimeRow => ({
  case: name,
  engine,
  ...spread([ms]),
  ...rate,
});

describe('the report', () => {
  const rows: Row[] = [
    row('matmul', 'energate', 1000, { gflops: 8 }),
    row('matmul', 'tfjs-wasm', 100, { gflops: 80 }),
    row('a', 'energate', 100, { gflops: 10 }),
    row('a', 'tfjs', 500, { gflops: 2 }),
    row('b', 'energate', 300, { gflops: 10 }),
    row('b', 'tfjs', 300, { gflops: 10 }),
    row('a', 'jax', 100, { gflops: 10 }),
    row('copy 1', 'energate', 1, { gbs: 100 }),
    row('copy 2', 'energate', 1, { gbs: 16 }),
    row('copy 2', 'torch', 0.8, { gbs: 20 }),
    row('copy 2', 'tfjs-wasm', 0.1, { gbs: 160 }),
    row('loss', 'energate', 1, { gbs: 10 }),
  ];
  const done = complete(rows, cases, ['tfjs-wasm']) as TimeRow[];
  const of = (name: string, engine: string) => done.find((item) => item.case === name && item.engine === engine);

  it('gives the ratio to energate in the same case', () => {
    expect(of('a', 'tfjs')?.ratio).toBe(5);
    expect(of('a', 'energate')?.ratio).toBeUndefined();
  });

  it('takes the best matrix product on the adapter as a ceiling, and not the CPU', () => {
    expect(of('a', 'tfjs')?.ceiling_share).toBe(0.25);
  });

  it('takes the best copy of the nearest size as the ceiling of bandwidth', () => {
    expect(of('loss', 'energate')?.ceiling_share).toBe(0.5);
    expect(of('copy 2', 'energate')?.ceiling_share).toBe(0.8);
  });

  it('gives engines apart no share of a ceiling', () => {
    expect(of('matmul', 'tfjs-wasm')).toMatchObject({ ratio: 0.1 });
    expect(of('matmul', 'tfjs-wasm')?.ceiling_share).toBeUndefined();
    expect(of('copy 2', 'tfjs-wasm')?.ceiling_share).toBeUndefined();
  });

  it('adds a group up for engines that did all of it', () => {
    expect(of('g all directions', 'energate')).toMatchObject({ ms_median: 400, gflops: 10 });
    expect(of('g all directions', 'tfjs')?.ratio).toBe(2);
    expect(of('g all directions', 'jax')).toBeUndefined();
  });

  it('summarises times by median, minimum and maximum', () => {
    expect(spread([5, 1, 3])).toEqual({ ms_median: 3, ms_min: 1, ms_max: 5, runs: 3 });
    expect(spread([4, 1, 3, 2]).ms_median).toBe(2.5);
  });
});
