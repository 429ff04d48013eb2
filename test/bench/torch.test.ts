import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { distance } from '../../bench/compare.js';
import { EngineProcess, opened } from '../../bench/engine-process.js';
import { uniform } from '../../bench/inputs.js';
import { measure } from '../../bench/measure.js';
import { isTime } from '../../bench/results.js';
import { type Case, SGD } from '../../bench/workloads.js';
import { conv2d, conv2dBackwardData, conv2dBackwardWeights } from '../reference/convolution.js';
import { f64 } from '../support/numbers.js';

const PYTHON = process.env.PYTHON ?? 'python3';
const succeeds = (code: string) => spawnSync(PYTHON, ['-c', code]).status === 0;
const hasPython = succeeds('');
const hasTorch = hasPython && succeeds('import torch, numpy');

const processOf = (name: string, python = PYTHON) => new EngineProcess(name, { toggles: '', python });

describe('without PyTorch', () => {
  const folder = mkdtempSync(join(tmpdir(), 'energate-torch-'));
  const engines: EngineProcess[] = [];
  afterEach(() => {
    for (const engine of engines.splice(0)) engine.close();
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** The names of engines that start, and the notes about those that do not. */
  async function start(python: string) {
    engines.push(processOf('energate'), processOf('torch', python), processOf('torch-autocast', python));
    const notes: string[] = [];
    const started = await opened(engines, (line) => notes.push(line));
    return { started: started.map(({ name }) => name), notes };
  }

  it('goes on where there is no such interpreter, and says so in a line', async () => {
    const { started, notes } = await start(join(folder, 'no-python'));
    expect(started).toEqual(['energate']);
    expect(notes).toHaveLength(2);
    expect(notes[0]).toMatch(/^torch is left out: its process cannot be run: spawn \S+no-python ENOENT$/);
  });

  it.skipIf(!hasPython)(`goes on where the interpreter has no PyTorch (needs ${PYTHON})`, async () => {
    const bare = join(folder, 'bare');
    writeFileSync(bare, `#!/bin/sh\nexec ${PYTHON} -I -S "$@"\n`);
    chmodSync(bare, 0o755);
    const { started, notes } = await start(bare);
    expect(started).toEqual(['energate']);
    expect(notes[1]).toMatch(/^torch-autocast is left out: \S+ has no PyTorch \(.*\); name a Python .* --python$/);
  });

  it('does not go on where another engine does not start', async () => {
    engines.push(processOf('no-engine'));
    await expect(opened(engines, () => {})).rejects.toThrow(/^no-engine does not start: /);
  });
});

describe.skipIf(!hasTorch)(`PyTorch's process (needs a ${PYTHON} with PyTorch; PYTHON names another)`, () => {
  const engine = processOf('torch');
  beforeAll(() => engine.open());
  afterAll(() => engine.close());

  const outputsOf = async (work: Partial<Case>, setting = '') => {
    await engine.prepare(work as Case, setting);
    const outputs = await engine.outputs();
    await engine.dispose();
    return outputs;
  };

  it('makes the same inputs', async () => {
    const [copied] = await outputsOf({ kind: 'copy', parameters: { bytes: 4 * 1001 } });
    expect(copied).toEqual(uniform(1001, 1));
  });

  it('gives part of a large result, as the other engines do', async () => {
    const count = 2 ** 22 + 1;
    const [copied] = await outputsOf({ kind: 'copy', parameters: { bytes: 4 * count } });
    const all = uniform(count, 1);
    expect(copied).toEqual(Float32Array.from({ length: Math.ceil(count / 3) }, (_, i) => all[3 * i]!));
  });

  it.each(['NCHW', 'channels last'])('convolves and differentiates in layout %s', async (layout) => {
    const shape = { batch: 2, inHeight: 6, inWidth: 5, inChannels: 3, outChannels: 4, kernel: 3, stride: 2 };
    const of = async (direction: 'forward' | 'backward-data' | 'backward-weights') =>
      (await outputsOf({ kind: 'conv2d', parameters: { ...shape, direction } }, layout))[0]!;
    const [x, w, dy] = [2 * 6 * 5 * 3, 9 * 3 * 4, 2 * 3 * 3 * 4].map((count, i) => f64(uniform(count, i + 1)));
    const geometry = { n: 2, h: 6, w: 5, cin: 3, kh: 3, kw: 3, cout: 4, stride: 2, pad: 1 };
    const expected = [
      ['forward', conv2d(x!, w!, geometry)],
      ['backward-data', conv2dBackwardData(dy!, w!, geometry)],
      ['backward-weights', conv2dBackwardWeights(x!, dy!, geometry)],
    ] as const;
    for (const [direction, values] of expected)
      expect(distance(await of(direction), Float32Array.from(values)), direction).toBeLessThan(1e-6);
  });

  it('updates by momentum', async () => {
    const [w, velocity] = await outputsOf({ kind: 'sgd', parameters: { size: 3 } });
    const [before, gradient, was] = [1, 2, 3].map((seed) => uniform(3, seed));
    const { learningRate, momentum, weightDecay } = SGD;
    const g = gradient!.map((value, i) => value + weightDecay * before![i]!);
    const v = g.map((value, i) => momentum * was![i]! + value);
    expect(distance(velocity!, v)).toBeLessThan(1e-6);
    const after = before!.map((value, i) => value - learningRate * (g[i]! + momentum * v[i]!));
    expect(distance(w!, after)).toBeLessThan(1e-6);
  });

  it('reports what is wrong in a line, and goes on', async () => {
    await expect(engine.prepare({ kind: 'copy', parameters: {} } as Case, '')).rejects.toThrow(/bytes/);
    expect(await engine.settings({ kind: 'sgd' } as Case)).toEqual(['']);
  });

  it('dies for one request alone', async () => {
    const mortal = processOf('torch');
    await mortal.open();
    const { child } = mortal as unknown as { child: { kill(): void } };
    child.kill();
    await expect(mortal.run(1)).rejects.toThrow(/^the process ended with SIGTERM/);
    expect(await mortal.settings({ kind: 'matmul' } as Case)).toEqual(['']);
    mortal.close();
  });
});

describe.skipIf(!hasTorch)(`PyTorch beside energate (needs a ${PYTHON} with PyTorch; PYTHON names another)`, () => {
  const engines = ['energate', 'torch', 'torch-autocast'].map((name) => processOf(name));
  beforeAll(() => opened(engines, console.error), 120_000);
  afterAll(() => {
    for (const engine of engines) engine.close();
  });
  const network = { depth: 10, width: 1, classes: 10 };
  const cases: Case[] = [
    { name: 'a product', kind: 'matmul', parameters: { m: 20, n: 10, k: 30 }, tolerance: 1e-5 },
    {
      ...{ name: 'batch norm', kind: 'batchNorm', tolerance: 1e-4 },
      parameters: { batch: 3, side: 5, channels: 8, backward: true },
    },
    { name: 'loss', kind: 'energyLoss', parameters: { inCount: 5, outCount: 7, classes: 11 }, tolerance: 1e-5 },
    { name: 'scores', kind: 'score', parameters: { ...network, batch: 3 }, tolerance: 1e-5 },
    { name: 'a step', kind: 'step', parameters: { ...network, inCount: 2, outCount: 4 }, tolerance: 1e-3 },
  ];

  it.each(cases)('$name agrees and is timed', async (work) => {
    const rows = await measure(work, engines, { samples: 2, minimum: 2, budget: 1, sampleMs: 1 });
    const times = rows.filter(isTime);
    expect(rows.filter((row) => 'refused' in row)).toEqual([]);
    expect(times.map(({ engine }) => engine)).toEqual(
      work.kind === 'energyLoss' ? ['energate', 'torch'] : ['energate', 'torch', 'torch-autocast'],
    );
    for (const row of times) {
      expect(row.ms_min).toBeGreaterThan(0);
      if (row.engine === 'torch-autocast') expect(row.tolerance).toBeGreaterThan(work.tolerance);
    }
  });
});
