import { readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeLines } from '../../src/cli/score.js';
import { toFloat32 } from '../../src/formats/array.js';
import { type Npz, readNpz } from '../../src/formats/npz.js';
import { energy } from '../../src/ood/scores.js';
import { data, reference } from '../support/training.js';
import { energate, type Result } from './support/run.js';
import { inProcess, npzOf, WEIGHTS, workspace } from './support/workspace.js';

const { path } = workspace();
const args = (name: string) => ['score', '--weights', WEIGHTS, '--images', path('in.npz'), '--output', path(name)];
const COUNT = 18;

it('lines are encoded in pieces, none near what a string can hold', () => {
  const lines = Array.from({ length: 300 }, (_, n) => String(n).repeat(10_000));
  const pieces = [...encodeLines(lines)];
  expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(2e6);
  expect(Buffer.concat(pieces).toString()).toBe(lines.map((line) => `${line}\n`).join(''));
});

describe('score', () => {
  let result: Result;
  let npz: Npz;
  let logits: Float32Array;
  const numbers = (name: string) => Array.from(npz.get(name).data as Float64Array);
  beforeAll(async () => {
    result = await energate(args('scores.npz'));
    expect(result.code, result.stderr).toBe(0);
    npz = readNpz(readFileSync(path('scores.npz')), 'scores.npz');
    logits = toFloat32(npz.get('logits'));
  });

  it('gives PyTorch’s logits', () => {
    expect(npz.get('logits')).toMatchObject({ dtype: 'float32', shape: [COUNT, 10] });
    const expected = reference.array('eval_logits_before').data;
    const range = Math.max(...expected) - Math.min(...expected);
    for (const [i, value] of expected.entries()) expect(Math.abs(logits[i]! - value)).toBeLessThan(1e-4 * range);
  });

  it('and of these the energy, the softmax, the largest and the label', () => {
    expect(npz.names).toEqual(['logits', 'energy', 'msp', 'maxlogit', 'label']);
    for (const name of ['energy', 'msp', 'maxlogit', 'label']) expect(npz.get(name).shape).toEqual([COUNT]);
    for (let n = 0; n < COUNT; n++) {
      const row = Array.from(logits.subarray(10 * n, 10 * n + 10));
      const sum = row.reduce((total, value) => total + Math.exp(value), 0);
      // The exponentials are float32's.
      expect(numbers('energy')[n]).toBeCloseTo(-Math.log(sum), 6);
      expect(numbers('msp')[n]).toBeCloseTo(Math.exp(Math.max(...row)) / sum, 6);
      expect(numbers('maxlogit')[n]).toBe(Math.max(...row));
      expect(numbers('label')[n]).toBe(row.indexOf(Math.max(...row)));
    }
  });

  it('says so', () => {
    const mean = numbers('energy').reduce((sum, value) => sum + value, 0) / COUNT;
    expect(result.stdout).toMatch(`scores.npz: ${COUNT} images scored, mean energy ${mean.toFixed(3)}, mean msp 0.`);
  });

  it('.csv and .jsonl hold the same, to the last digit; --temperature is of the energy alone', async () => {
    const csv = await inProcess([...args('scores.csv'), '--quiet']);
    expect(csv).toMatchObject({ code: 0, stderr: '' });
    const [header, ...rows] = readFileSync(path('scores.csv'), 'utf8').trimEnd().split('\n');
    expect(header).toBe(`label,energy,msp,maxlogit,${Array.from({ length: 10 }, (_, k) => `logit_${k}`).join(',')}`);
    const columns = ['label', 'energy', 'msp', 'maxlogit'].map(numbers);
    const expected = columns[0]!.map((_, n) => [
      ...columns.map((column) => column[n]!),
      ...logits.subarray(10 * n, 10 * n + 10),
    ]);
    expect(rows.map((row) => row.split(',').map(Number))).toEqual(expected);

    const jsonl = await inProcess([...args('scores.jsonl'), '--temperature', '10', '--quiet', '--json']);
    const lines = readFileSync(path('scores.jsonl'), 'utf8').trimEnd().split('\n');
    const energies = energy(logits, 10, { temperature: 10 });
    expect(lines.map((line) => JSON.parse(line))).toEqual(
      expected.map(([label, , msp, maxlogit, ...row], n) => ({
        label,
        energy: expect.closeTo(energies[n]!, 5),
        msp,
        maxlogit,
        logits: row,
      })),
    );
    expect(JSON.parse(jsonl.stdout)).toMatchObject({
      output: path('scores.jsonl'),
      images: COUNT,
      classes: 10,
      mean_energy: expect.closeTo(energies.reduce((sum, value) => sum + value, 0) / COUNT, 5),
    });
  });

  it('--scores: those asked for, in their order; a fit is made once and read again', async () => {
    // Some of every class.
    const labels = Int32Array.from({ length: COUNT }, (_, i) => i % 10);
    writeFileSync(path('ten.npz'), npzOf({ ...data.inDistribution, labels }));
    const scores = ['--scores', 'odin,mahalanobis,energy', '--quiet'];
    const made = await inProcess([
      ...args('fitted.npz'),
      ...scores,
      ...['--fit', path('ten.npz'), '--save-fit', path('fit.safetensors')],
    ]);
    expect(made).toMatchObject({ code: 0, stderr: '' });
    const read = await inProcess([...args('again.npz'), ...scores, '--fit', path('fit.safetensors')]);
    expect(read).toMatchObject({ code: 0, stderr: '' });
    const [first, second] = ['fitted.npz', 'again.npz'].map((name) => readNpz(readFileSync(path(name)), name));
    expect(first!.names).toEqual(['logits', 'odin', 'mahalanobis', 'energy', 'label']);
    for (const name of first!.names) expect(second!.get(name)).toEqual(first!.get(name));
    expect([...(first!.get('mahalanobis').data as Float64Array)].every((value) => value <= 0)).toBe(true);
  });
});
