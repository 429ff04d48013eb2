import { describe, expect, it } from 'vitest';
import type { EngineProcess } from '../../bench/engine-process.js';
import { measure, type Patience } from '../../bench/measure.js';
import type { TimeRow } from '../../bench/results.js';
import type { Case } from '../../bench/workloads.js';

const product: Case = {
  name: 'product',
  kind: 'matmul',
  parameters: { m: 1, n: 1, k: 1 },
  flops: 1e6,
  tolerance: 1e-5,
};
const step = { name: 'step', kind: 'step', parameters: {}, tolerance: 0.05 } as unknown as Case;
const patience: Patience = { samples: 5, minimum: 2, budget: 1000, sampleMs: 10 };
const right = () => [Float32Array.of(3, 4)];

/** An engine whose runs take `ms` by its own account, by setting. */
function fake(
  name: string,
  ms: Readonly<Record<string, number>> = { '': 1 },
  change: {
    waits?: Readonly<Record<string, number>>;
    outputs?: (setting: string) => Float32Array[];
    fails?: 'run' | 'count' | 'dispose' | 'outputs';
  } = {},
): EngineProcess & { readonly prepared: string[] } {
  let setting = '';
  const prepared: string[] = [];
  const may = (method: string) => {
    if (change.fails === method) throw new Error(`no ${method}`);
  };
  return {
    name,
    prepared,
    arithmetic: 'float32',
    settings: async () => Object.keys(ms),
    async prepare(_: Case, chosen: string) {
      setting = chosen;
      prepared.push(chosen);
    },
    async outputs() {
      may('outputs');
      return change.outputs?.(setting) ?? right();
    },
    async run(times: number) {
      may('run');
      return ms[setting]! * times + (change.waits?.[setting] ?? 0);
    },
    async count() {
      may('count');
      return { dispatches: 1, submits: 1, bind_groups: 0, buffers: 0, gpu_bytes: 0 };
    },
    async dispose() {
      may('dispose');
    },
  } as unknown as EngineProcess & { readonly prepared: string[] };
}

describe('a case', () => {
  it('times each engine, as many runs a sample as fill it', async () => {
    const rows = (await measure(product, [fake('energate'), fake('peer', { '': 2 })], patience)) as TimeRow[];
    expect(rows.map(({ engine, ms_median, runs, repeats }) => [engine, ms_median, runs, repeats])).toEqual([
      ['energate', 1, 5, 10],
      ['peer', 2, 5, 5],
    ]);
    expect(rows[0]!.gflops).toBe(1);
  });

  it.each([
    ['wrong', () => [Float32Array.of(3, 5)], /wrong numbers: result 0 differs by 2\.0e-1 \(allowed 0\.00001\)/],
    ['NaN', () => [Float32Array.of(3, Number.NaN)], /wrong numbers/],
    ['zeros', () => [new Float32Array(2)], /wrong numbers/],
    ['fewer', () => [], /0 results instead of 1/],
  ])('has no time for an engine whose numbers are %s', async (_, outputs, message) => {
    const rows = await measure(product, [fake('energate'), fake('peer', { '': 1 }, { outputs })], patience);
    expect(rows).toEqual([
      expect.objectContaining({ engine: 'energate', ms_median: 1 }),
      { case: 'product', engine: 'peer', refused: expect.stringMatching(message) },
    ]);
  });

  it('takes the setting that is fastest as it is timed, of those whose numbers are right', async () => {
    const outputs = (setting: string) => (setting === 'wrong' ? [Float32Array.of(4, 3)] : right());
    // Of single runs the slow one is the fastest.
    const waits = { fast: 2 };
    const peer = fake('peer', { slow: 3, fast: 2, slower: 4, wrong: 1 }, { outputs, waits });
    const [, row] = (await measure(product, [fake('energate'), peer], patience)) as TimeRow[];
    expect(row).toMatchObject({ setting: 'fast', slower: { slow: 3, slower: 4 }, ms_median: 2.5, repeats: 4 });
    expect(Object.keys(row!.wrong!)).toEqual(['wrong']);
    expect(peer.prepared.at(-1)).toBe('fast');
  });

  it('holds a step’s loss to more than its gradients', async () => {
    const results = (loss: number, gradient: number) => () => [Float32Array.of(loss), Float32Array.of(gradient)];
    const engines = [
      fake('energate', { '': 1 }, { outputs: results(1, 1) }),
      fake('near', { '': 1 }, { outputs: results(1.00001, 1.03) }),
      fake('off', { '': 1 }, { outputs: results(1.01, 1) }),
    ];
    const rows = await measure(step, engines, patience);
    expect(rows.filter((row) => 'refused' in row)).toEqual([
      {
        case: 'step',
        engine: 'off',
        refused: expect.stringMatching(/^wrong numbers: result 0 .* \(allowed 0\.0001\)$/),
      },
    ]);
  });

  it.each(['run', 'count', 'dispose'] as const)('goes on where an engine fails to %s', async (fails) => {
    const rows = await measure(step, [fake('energate'), fake('peer', { '': 1 }, { fails }), fake('last')], patience);
    expect(rows).toContainEqual({ case: 'step', engine: 'peer', refused: `no ${fails}` });
    for (const engine of ['energate', 'last'])
      expect(rows).toContainEqual(expect.objectContaining({ engine, ms_median: 1 }));
  });

  it('has no times where there are no results of energate, and says so for each', async () => {
    const rows = await measure(product, [fake('energate', { '': 1 }, { fails: 'outputs' }), fake('peer')], patience);
    expect(rows).toEqual([
      { case: 'product', engine: 'energate', refused: 'no outputs' },
      { case: 'product', engine: 'peer', refused: 'there are no results of energate' },
    ]);
  });
});
