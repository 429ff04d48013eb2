import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { FolderMemory } from '../../src/cli/experiment/memory.js';
import { syntheticImages, syntheticOod } from '../../src/data/synthetic/index.js';
import { Classifier } from '../../src/nn/classifier.js';
import { encodeNetwork } from '../../src/nn/network-file.js';
import { wideResNet } from '../../src/nn/wide-resnet.js';
import { fpr95 } from '../../src/ood/metrics.js';
import { energy } from '../../src/ood/scores.js';
import { CIFAR } from '../support/golden.js';
import { engine } from '../support/gpu.js';
import { reference } from '../support/training.js';
import { CLI, said, start } from './support/run.js';
import { inProcess, npzOf, WEIGHTS, workspace } from './support/workspace.js';

const { path } = workspace();
const sets = {
  in: syntheticImages({ seed: 3, count: 60, split: 'test' }),
  svhn: syntheticOod('glyphs', { seed: 3, count: 12 }),
  cells: syntheticOod('cells', { seed: 3, count: 9 }),
};
const train = syntheticImages({ seed: 3, count: 200, split: 'train' });

const run = (name: string, output: string, ...more: string[]) => [
  ...['experiment', name, '--weights', WEIGHTS, '--in', path('test.npz'), '--ood', `svhn=${path('svhn.npz')}`],
  ...['--ood', `cells=${path('cells.npz')}`, '--output', path(output), '--quiet', ...more],
];
const json = (output: string, name: string) => JSON.parse(readFileSync(path(`${output}/${name}.json`), 'utf8'));
const text = (file: string) => readFileSync(path(file), 'utf8');

beforeAll(() => {
  writeFileSync(path('test.npz'), npzOf(sets.in));
  writeFileSync(path('svhn.npz'), npzOf(sets.svhn));
  writeFileSync(path('cells.npz'), npzOf(sets.cells));
  writeFileSync(path('train.npz'), npzOf(train));
  const tuned = wideResNet({ depth: 10, width: 1, classes: 10 }, { seed: 5, normalization: CIFAR });
  writeFileSync(path('tuned.safetensors'), encodeNetwork(tuned));
  const exposed = wideResNet({ depth: 10, width: 1, classes: 10 }, { seed: 6, normalization: CIFAR });
  writeFileSync(path('oe.safetensors'), encodeNetwork(exposed));
});

describe('experiment table1', () => {
  it('stopped by Ctrl-C while it scores, it goes on from what it has, to the same files', async () => {
    const networks = ['--tuned', path('tuned.safetensors'), '--oe-tuned', path('oe.safetensors')];
    const args = (output: string) => run('table1', output, ...networks);
    const { child, result } = start(CLI, args('stopped'));
    const cache = path('stopped/cache');
    const done = () => (existsSync(cache) ? readdirSync(cache).filter((name) => name.endsWith('.npz')) : []);
    while (done().length === 0 && child.exitCode === null) await sleep(5);
    child.kill('SIGINT');
    const stopped = await result;
    expect(stopped).toMatchObject({ code: 130, stdout: '' });
    expect(said(stopped)).toEqual(['energate: stopped; the same command goes on from here']);
    expect(existsSync(path('stopped/table1.json'))).toBe(false);
    const times = new Map(done().map((name) => [name, statSync(`${cache}/${name}`).mtimeMs]));
    const resumed = await inProcess(args('stopped'));
    expect(resumed).toMatchObject({ code: 0, stderr: '' });
    for (const [name, time] of times) expect(statSync(`${cache}/${name}`).mtimeMs, name).toBe(time);

    const whole = await inProcess(args('whole'));
    expect(whole.stdout).toBe(resumed.stdout.replaceAll('stopped', 'whole'));
    const files = ['table1.csv', 'table1.html', 'table1.json', 'table1.md'];
    for (const file of files)
      expect(text(`whole/${file}`), file).toBe(text(`stopped/${file}`).replaceAll('stopped', 'whole'));
    expect(readdirSync(path('whole')).sort()).toEqual(['cache', ...files]);
    const { results, left_out } = json('whole', 'table1');
    expect(left_out).toEqual([]);
    expect(new Set(results.map(({ method }: { method: string }) => method))).toEqual(
      new Set(['softmax', 'energy', 'oe', 'energy_tuned']),
    );
  }, 300_000);
});

describe('experiment table2', () => {
  beforeAll(async () => {
    const result = await inProcess(
      run('table2', 'two', '--train', path('train.npz'), '--tuned', path('tuned.safetensors')),
    );
    expect(result).toMatchObject({ code: 0, stderr: '' });
  }, 300_000);

  it('measures what evaluate does', async () => {
    const result = await inProcess([
      ...['evaluate', '--weights', WEIGHTS, '--in', path('test.npz'), '--ood', `svhn=${path('svhn.npz')}`],
      ...['--ood', `cells=${path('cells.npz')}`, '--scores', 'msp,energy,odin,mahalanobis', '--fit', path('train.npz')],
      ...['--json', path('evaluated.json'), '--quiet'],
    ]);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    const evaluated = JSON.parse(text('evaluated.json'));
    const { results, accuracy } = json('two', 'table2');
    const methods = { softmax: 'msp', energy: 'energy', odin: 'odin', mahalanobis: 'mahalanobis' };
    for (const [method, score] of Object.entries(methods)) {
      for (const set of ['svhn', 'cells', 'average']) {
        const of = (rows: Record<string, unknown>[], key: string, name: string) =>
          rows.find((row) => row[key] === name && row.set === set)!;
        const { method: _, published: __, ...measured } = of(results, 'method', method);
        const { score: ___, ...expected } = of(evaluated.results, 'score', score);
        expect(measured).toEqual(expected);
      }
    }
    expect(accuracy.base).toBe(evaluated.accuracy);
    expect(accuracy.tuned).toBeGreaterThanOrEqual(0);
  });

  it('says what is left out and why, and puts the published figures beside sets of their names', () => {
    const { left_out, results } = json('two', 'table2');
    expect(left_out).toEqual([
      'Outlier Exposure is left out: give --oe-tuned, or --train and --outliers to fine-tune here.',
    ]);
    const published = (method: string, set: string) =>
      results.find((row: { method: string; set: string }) => row.method === method && row.set === set).published;
    expect(published('energy', 'svhn')).toEqual([0.3559, 0.9096, 0.9764]);
    expect(published('energy', 'cells')).toBeUndefined();
    for (const file of ['two/table2.md', 'two/table2.html']) expect(text(file)).toContain('(33.01)');
    expect(text('two/table2.html')).toContain('(35.59 / 90.96 / 97.64)');
    expect(text('two/table2.md')).toContain('in-distribution positive, nearest recall, step AUPR');
  });

  it('CSV has a row for each method and set, with its convention', () => {
    const [header, ...rows] = text('two/table2.csv')
      .trimEnd()
      .split('\n')
      .map((line) => line.split(','));
    expect(rows).toHaveLength(5 * 3);
    const column = (name: string) => header!.indexOf(name);
    for (const row of rows) expect([row[column('protocol')], row[column('convention')]]).toEqual(['paper', 'paper']);
    expect(new Set(rows.map((row) => row[column('method')])).size).toBe(5);
  });

  it('the report holds curves, histograms and the hardest images of each set', () => {
    const html = text('two/table2.html');
    const figures = html.match(/<svg aria-hidden="true" focusable/g)!.length;
    // ROC, precision-recall, and histograms of three scores, of two sets.
    expect(figures).toBe(5 * 2);
    expect(html.match(/src="data:image\/png;base64,/g)).toHaveLength(10 + 10 + 9);
    expect(html).not.toContain(path('.'));
  });
});

describe('experiment temperature', () => {
  it('is the energy at each T from 1 to 1000', async () => {
    const read = vi.spyOn(FolderMemory.prototype, 'get');
    const result = await inProcess(run('temperature', 'T', '--protocol', 'full'));
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(read, 'each set once, for all T').toHaveBeenCalledTimes(3);
    read.mockRestore();
    const classifier = await Classifier.create(engine, reference.network());
    const [inside, outside] = [await classifier.run(sets.in), await classifier.run(sets.svhn)];
    classifier.destroy();
    const { results } = json('T', 'temperature');
    const temperatures = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
    for (const temperature of temperatures) {
      const score = (logits: Float32Array) => energy(logits, 10, { temperature }).map((e) => -e);
      const row = results.find(
        (of: { temperature: number; set: string }) => of.temperature === temperature && of.set === 'svhn',
      );
      expect(row.fpr95).toBe(fpr95(score(inside.logits), score(outside.logits), 'in_positive_nearest'));
    }
    expect(results).toHaveLength(3 * temperatures.length);
  });
});

describe('experiment margins', () => {
  it('fine-tunes with each pair, and frames the one that validation outliers choose', async () => {
    const tuning = [
      '--train',
      path('train.npz'),
      '--outliers',
      path('out.npz'),
      '--batch',
      '6',
      '--outlier-batch',
      '10',
    ];
    const args = run('margins', 'm', ...tuning, '--steps', '1', '--m-in', '-20', '--m-out', '-5,-1');
    expect(await inProcess(args)).toMatchObject({ code: 0, stderr: '' });
    const { results, chosen } = json('m', 'margins');
    expect(results).toHaveLength(2);
    const lowest = Math.min(...results.map((row: { fpr95: number }) => row.fpr95));
    expect(results.find((row: { mOut: number }) => row.mOut === chosen.mOut).fpr95).toBe(lowest);
    for (const { test } of results)
      expect(test.map(({ set }: { set: string }) => set)).toEqual(['svhn', 'cells', 'average']);
    expect(text('m/margins.html').match(/<svg aria-hidden="true" focusable/g)).toHaveLength(2);
  }, 300_000);
});

describe('experiment histograms', () => {
  it('before and after', async () => {
    // An out-of-distribution set may have the name of the other.
    const again = ['--ood', `test=${path('svhn.npz')}`, '--normalize', 'none'];
    const result = await inProcess(run('histograms', 'h', '--tuned', path('tuned.safetensors'), ...again));
    expect(result).toMatchObject({ code: 0, stderr: '' });
    // Softmax and energy, before and after, of three sets.
    expect(text('h/histograms.html').match(/<svg aria-hidden="true" focusable/g)).toHaveLength(12);
    const { scores } = json('h', 'histograms');
    expect(scores).toHaveLength(4 * 4);
    const row = (set: string) => text('h/histograms.md').match(new RegExp(`^\\| ${set} \\|(.*)$`, 'm'))![1];
    expect(row('test')).toBe(row('svhn'));
    expect(text('h/histograms.html')).toContain('--normalize 0,0,0/1,1,1');
  });
});

describe('refusals', () => {
  it.each<[string[], string]>([
    [['table3'], 'experiment table3 does not exist: give table1, table2, temperature, margins, histograms'],
    [['table1', '--protocol', 'mine'], '--protocol mine does not exist'],
    [['margins'], 'margins fine-tunes with each pair: give --train and --outliers'],
    [['table1', '--m-in', '-9,-8'], 'table1 fine-tunes with one pair of margins: give one --m-in and one --m-out'],
    [['table1', '--m-in', '-1'], '--m-in -1 must be below --m-out -5'],
    [['temperature', '--lr', '5'], '--lr is of fine-tuning, which is not done here: leave it out'],
    [['histograms', '--tuned', '@tuned.safetensors', '--m-in', '-9'], '--m-in is of fine-tuning, which is not done'],
    [['table1', '--ood', 'average=x.npz'], '--ood average=.. takes the name of the row of means'],
    [['table2', '--train', '@svhn.npz'], 'has no labels'],
    [['table1', '--output', '@test.npz'], 'cannot make the folder'],
  ])('%j', async ([name, ...more], message) => {
    const given = more.map((value) => (value.startsWith('@') ? path(value.slice(1)) : value));
    const result = await inProcess(run(name!, 'r', ...given));
    expect(result).toMatchObject({ stdout: '', stderr: expect.stringMatching(/^energate: [^\n]+\n$/) });
    expect(result.stderr).toContain(message);
  });

  it('some of the inputs without the others', async () => {
    const result = await inProcess(['experiment', 'table1', '--in', 'x.npz']);
    expect(result.stderr).toContain('--weights and --ood missing: give --weights, --in and --ood, or none of them');
  });

  it('a network of another size as the fine-tuned one', async () => {
    const wider = wideResNet({ depth: 10, width: 2, classes: 10 }, { seed: 5, normalization: CIFAR });
    writeFileSync(path('wider.safetensors'), encodeNetwork(wider));
    const result = await inProcess(run('table1', 'r', '--tuned', path('wider.safetensors')));
    expect(result.stderr).toContain('is not fine-tuned from --weights: they differ in depth, width or classes');
  });
});
