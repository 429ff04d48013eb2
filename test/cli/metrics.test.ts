import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeNpy } from '../../src/formats/npy.js';
import { readNpz, writeNpz } from '../../src/formats/npz.js';
import { CLI, energate, said, start, startWriting } from './support/run.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'energate-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, bytes: Uint8Array) => {
  writeFileSync(join(folder, name), bytes);
  return join(folder, name);
};
const scores = (...values: number[]) => ({
  dtype: 'float64' as const,
  shape: [values.length],
  data: Float64Array.from(values),
});

describe('energate metrics', () => {
  it('gives the golden figures of metrics.npz, to 1e-9, in the shape that scripts rely on', async () => {
    const golden = readNpz(readFileSync(new URL('../fixtures/reference/metrics.npz', import.meta.url)), 'metrics.npz');
    const want = JSON.parse(new TextDecoder().decode(golden.get('expected_json').data as Uint8Array)).large;
    const ins = file('in.npy', writeNpy(golden.get('large/in')));
    const outs = file('out.npz', writeNpz({ scores: golden.get('large/out') }));
    const { code, stdout } = await energate(['metrics', '--in', ins, '--ood', outs, '--json', '-']);
    expect(code).toBe(0);
    const got = JSON.parse(stdout);
    expect(Object.keys(got)).toEqual(['auroc', 'aupr_in', 'aupr_out', 'fpr95']);
    const flat: Record<string, number> = { auroc: got.auroc, aupr_in: got.aupr_in, aupr_out: got.aupr_out };
    for (const [name, value] of Object.entries(got.fpr95)) flat[`fpr95_${name}`] = value as number;
    expect(Object.keys(flat).sort()).toEqual(Object.keys(want).sort());
    for (const [name, value] of Object.entries(want)) {
      expect(Math.abs(flat[name]! - (value as number)), name).toBeLessThan(1e-9);
    }
  });

  it('names the convention beside every figure', async () => {
    const ins = file('a.npy', writeNpy(scores(1, 2, 3)));
    const outs = file('b.npy', writeNpy(scores(2, 2.5)));
    const { stdout } = await energate(['metrics', '--in', ins, '--ood', outs]);
    expect(stdout).toMatch(/^3 in-distribution and 2 out-of-distribution scores$/m);
    // 2.5 of 6 pairs are ranked right, a tie being one half.
    expect(stdout).toMatch(/^AUROC +41\.67 % +ties count one half$/m);
    expect(stdout).toMatch(/^FPR95 +66\.67 % +OOD positive, first recall of 95 % \(OpenOOD\)$/m);
  });

  it('takes numbers of any type', async () => {
    // -1 and -2, and 1 and -3: bits that would be ranked the other way round.
    const half = (...bits: number[]) =>
      writeNpy({ dtype: 'float16', shape: [bits.length], data: Uint16Array.from(bits) });
    const whole = (...values: bigint[]) =>
      writeNpy({ dtype: 'int64', shape: [values.length], data: BigInt64Array.from(values) });
    const auroc = async (ins: Uint8Array, outs: Uint8Array) => {
      const files = ['--in', file('in.npy', ins), '--ood', file('out.npy', outs)];
      return JSON.parse((await energate(['metrics', ...files, '--json', '-'])).stdout).auroc;
    };
    expect(await auroc(half(0xbc00, 0xc000), half(0x3c00, 0xc200))).toBe(0.5);
    expect(await auroc(half(0xbc00), half(0xc000))).toBe(1);
    expect(await auroc(whole(-1n, -2n), whole(-3n))).toBe(1);
  });

  it('does its work where nobody reads what it prints', async () => {
    const ins = file('a.npy', writeNpy(scores(1, 2, 3)));
    const json = join(folder, 'unread.json');
    const { child, result } = start(CLI, ['metrics', '--in', ins, '--ood', ins, '--json', json]);
    child.stdout!.destroy();
    expect(await result).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(readFileSync(json, 'utf8')).auroc).toBe(0.5);
  });

  it.skipIf(!existsSync('/dev/full'))('says that what it prints cannot be written, its file being', async () => {
    const ins = file('a.npy', writeNpy(scores(1, 2, 3)));
    const json = join(folder, 'full.json');
    const full = openSync('/dev/full', 'w');
    const result = await startWriting(full, CLI, ['metrics', '--in', ins, '--ood', ins, '--json', json]).result;
    closeSync(full);
    expect(result.code).toBe(1);
    expect(said(result)).toEqual([
      'energate: cannot write standard output: the disk is full; free some space or choose another place',
    ]);
    expect(existsSync(json)).toBe(true);
  });

  it.each([
    ['NaN', () => writeNpy(scores(1, Number.NaN)), /bad: score 1 is NaN/],
    ['a matrix', () => writeNpy({ ...scores(1, 2, 3, 4), shape: [2, 2] }), /bad: an array of \[2, 2\]/],
    ['two arrays', () => writeNpz({ a: scores(1), b: scores(2) }), /bad: 2 arrays \(.*a, b.*\)/],
    ['no scores', () => writeNpy(scores()), /no in-distribution scores/],
    ['something else', () => new TextEncoder().encode('0.5\n0.7\n'), /bad/],
  ])('refuses %s in one line', async (_, bytes, message) => {
    const good = file('good.npy', writeNpy(scores(1, 2)));
    const result = await energate(['metrics', '--in', file('bad', bytes()), '--ood', good]);
    expect(result.code).toBe(1);
    expect(said(result)).toEqual([expect.stringMatching(message)]);
    expect(result.stdout).toBe('');
  });
});
