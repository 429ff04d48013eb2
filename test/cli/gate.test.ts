import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { data, reference } from '../support/training.js';
import { CLI, energate, said, start } from './support/run.js';
import { inProcess, WEIGHTS, workspace } from './support/workspace.js';

const { path } = workspace();
const COUNT = 18;
const calibrate = (...more: string[]) =>
  inProcess(['calibrate', '--weights', WEIGHTS, '--in', path('in.npz'), '--accept', '0.8', '--quiet', ...more]);
const check = (...more: string[]) => inProcess(['check', '--quiet', '--gate', path('gate.energate'), ...more]);

/** PyTorch's energies of the golden images, and of each the number that are not lower. */
const logits = reference.array('eval_logits_before').data;
const energies = Array.from(
  { length: COUNT },
  (_, n) => -Math.log(logits.slice(10 * n, 10 * n + 10).reduce((sum, value) => sum + Math.exp(value), 0)),
);
const rank = (n: number) => energies.filter((energy) => energy >= energies[n]!).length;
/** Of 18 scores and 80 %, floor(0.2 · 19) = 3: the two of highest energy are refused. */
const isAccepted = (n: number) => rank(n) >= 3;

const pictures = [0, 7, energies.indexOf(Math.max(...energies))].toSorted((a, b) => a - b);
const nameOf = (n: number) => `photos/${String(n).padStart(2, '0')}.png`;
let calibrated = '';
beforeAll(async () => {
  const result = await calibrate('--output', path('gate.energate'));
  expect(result.code, result.stderr).toBe(0);
  calibrated = result.stdout;
  mkdirSync(path('photos'));
  for (const n of pictures) {
    const image = data.inDistribution.images.slice(n * 3072, (n + 1) * 3072);
    const png = await sharp(image, { raw: { width: 32, height: 32, channels: 3 } })
      .png()
      .toBuffer();
    writeFileSync(path(nameOf(n)), png);
  }
  writeFileSync(path('broken.png'), 'no picture');
}, 300_000);

describe('calibrate', () => {
  it('writes a gate, and says what its threshold is worth', () => {
    const threshold = energies.toSorted((a, b) => b - a)[2]!;
    // Beta(16, 3) and Beta-binomial(1000, 16, 3): 2.5 % and 97.5 % by scipy.stats.
    expect(calibrated).toBe(
      [
        'gate.energate: calibrated on 18 images to accept 80 % of those like them',
        `  accepts energy at most ${Number(threshold.toPrecision(5))}`,
        '  the true rate is 65.29 % to 96.42 %, with 95 % confidence',
        '  of 1000 further ones it will accept 65.1 % to 96.5 %, likewise',
        '',
      ].join('\n'),
    );
  });

  it('without network and images calibrates the embedded ones, and the gate refuses a grey picture', async () => {
    const gate = path('embedded.energate');
    const made = await inProcess(['calibrate', '--quiet', '--output', gate]);
    expect(made.stdout).toMatch(/^embedded\.energate: calibrated on 500 images to accept 95 % of those like them\n/);
    const grey = sharp({ create: { width: 64, height: 48, channels: 3, background: '#808080' } });
    writeFileSync(path('grey.png'), await grey.png().toBuffer());
    const { stdout, code } = await inProcess(['check', '--quiet', '--strict', '--gate', gate, path('grey.png')]);
    expect(stdout).toMatch(/^REFUSED .*grey\.png$/m);
    expect(code).toBe(3);
  });

  it('with --json gives the same figures; --precision float16 halves the file', async () => {
    const half = await calibrate('--json', '--precision', 'float16', '--output', path('half.energate'));
    expect(JSON.parse(half.stdout)).toEqual({
      ...{ output: path('half.energate'), score: 'energy', accept: 0.8, n: COUNT },
      thresholds: [
        {
          n: COUNT,
          threshold: expect.closeTo(-energies.toSorted((a, b) => b - a)[2]!, 1),
          acceptance_bounds_95: [expect.closeTo(0.6529, 4), expect.closeTo(0.9642, 4)],
        },
      ],
    });
    const [large, small] = ['gate', 'half'].map((name) => readFileSync(path(`${name}.energate`)));
    expect(small!.length).toBeLessThan(0.6 * large!.length);
    expect(readSafetensors(small!, 'x').tensors.get('network.fc.weight')!.dtype).toBe('float16');
  });
});

describe('check', () => {
  it('tells of a set’s images what PyTorch’s logits say', async () => {
    const { code, stdout } = await check('--jsonl', path('in.npz'));
    expect(code).toBe(0);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toEqual(
      energies.map((energy, n) => {
        const row = Array.from(logits.slice(10 * n, 10 * n + 10));
        return {
          image: `${path('in.npz')}#${n}`,
          accepted: isAccepted(n),
          label: row.indexOf(Math.max(...row)),
          energy: expect.closeTo(energy, 3),
          score: expect.closeTo(-energy, 3),
          p_value: (1 + rank(n)) / (COUNT + 1),
        };
      }),
    );
  });

  it('tells of pictures and folders, in the order given, for people; --strict exits with 3', async () => {
    expect(pictures.map(isAccepted)).toContain(false);
    const { code, stdout, stderr } = await inProcess([
      ...['check', '--strict', '--gate', path('gate.energate')],
      ...[path('photos'), path('photos/00.png')],
    ]);
    expect(code).toBe(3);
    expect(stderr.replace(/^energate: running on the CPU[^\n]*\n$/, '')).toBe('');
    const line = (n: number) => {
      const word = isAccepted(n) ? 'accepted' : 'REFUSED ';
      const p = ((1 + rank(n)) / (COUNT + 1)).toFixed(4);
      return expect.stringMatching(
        new RegExp(`^${word}  p ${p}  energy +-?\\d+\\.\\d{3}  class \\d {5}  .*${nameOf(n)}$`),
      );
    };
    expect(stdout.trimEnd().split('\n')).toEqual([...pictures.map(line), line(0), '3 accepted, 1 refused']);
  });

  it('goes on past a picture that it cannot read, and exits with 1', async () => {
    const result = await check('--jsonl', '--strict', path('broken.png'), path(nameOf(0)));
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/^energate: .*broken\.png is not a picture[^\n]*\n$/);
    const [bad, good] = result.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(bad).toEqual({ image: path('broken.png'), error: expect.stringContaining('is not a picture') });
    expect(good).toMatchObject({ image: path(nameOf(0)), accepted: true });
  });

  it('--strict exits with 3 where nobody reads what it prints, too', async () => {
    const refused = pictures.find((n) => !isAccepted(n))!;
    const gate = path('gate.energate');
    const { child, result } = start(CLI, ['check', '--strict', '--quiet', '--gate', gate, path(nameOf(refused))]);
    child.stdout!.destroy();
    expect((await result).code).toBe(3);
  });

  it('ends soon where nobody reads what it prints', async () => {
    const folder = path('unreadable');
    mkdirSync(folder);
    writeFileSync(join(folder, 'a.png'), readFileSync(path(nameOf(0))));
    for (let n = 0; n < 500; n++) writeFileSync(join(folder, `b${n}.png`), '');
    const running = start(CLI, ['check', '--quiet', '--gate', path('gate.energate'), folder]);
    running.child.stdout!.destroy();
    const unread = said(await running.result).filter((line) => line.includes('is not a picture'));
    expect(unread.length).toBeLessThan(500);
  });

  it('as a program of its own, with --strict, ends with 0 where all were accepted', async () => {
    const gate = path('gate.energate');
    const result = await energate(['check', '--strict', '--quiet', '--gate', gate, path(nameOf(0))]);
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/^accepted [^\n]*\n$/);
  });
});
