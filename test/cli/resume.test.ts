import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { decodeCheckpoint } from '../../src/nn/checkpoint.js';
import { encodeNetwork } from '../../src/nn/network-file.js';
import { wideResNet } from '../../src/nn/wide-resnet.js';
import { CIFAR } from '../support/golden.js';
import { engine } from '../support/gpu.js';
import { data } from '../support/training.js';
import { CLI, energate, said, start } from './support/run.js';
import { contents, inProcess, npzOf, WEIGHTS, workspace } from './support/workspace.js';

const { path } = workspace();

/** Enough that there is time to interrupt them. */
const STEPS = engine.adapter.software ? 24 : 20_000;

// Shuffling, augmentation and dropout are on.
const finetune = (name: string, ...more: string[]) => [
  ...['finetune', '--weights', WEIGHTS, '--in', path('in.npz'), '--outliers', path('out.npz')],
  ...['--batch', '6', '--outlier-batch', '10', '--lr', '0.01', '--seed', '5', '--steps', String(STEPS)],
  ...['--log', path(`${name}.jsonl`), '--output', path(`${name}.safetensors`), ...more],
];
const checkpointIn = (folder: string) => {
  const file = readFileSync(`${folder}/checkpoint.safetensors`);
  return decodeCheckpoint(file, folder);
};

/** Starts a run, and waits until it has logged a step. */
async function startAndWait(args: readonly string[], log: string) {
  const running = start(CLI, args);
  while (!existsSync(log) || readFileSync(log).length === 0) {
    if (running.child.exitCode !== null) throw new Error(`ended: ${JSON.stringify(await running.result)}`);
    await sleep(20);
  }
  return running;
}

let saved = '';
beforeAll(async () => {
  const { child, result } = await startAndWait(finetune('stopped'), path('stopped.jsonl'));
  child.kill('SIGINT');
  const stopped = await result;
  expect(stopped).toMatchObject({ code: 130, stdout: '' });
  saved = path('stopped.safetensors.checkpoint');
  const { step } = checkpointIn(saved).state;
  expect(said(stopped).at(-1)).toBe(`energate: stopped after step ${step} of ${STEPS}; go on with --resume ${saved}`);
  expect(step).toBeGreaterThan(0);
  expect(step).toBeLessThan(STEPS);
  expect(existsSync(path('stopped.safetensors'))).toBe(false);
}, 120_000);

describe('a run stopped by Ctrl-C', () => {
  it.each<[string, string[], RegExp]>([
    [
      'another learning rate',
      ['--lr', '0.02'],
      /^--lr differs from the run in .* \(learningRate 0\.01\): leave it out/,
    ],
    ['another batch', ['--batch', '5'], /^--batch differs/],
    ['another outlier batch', ['--outlier-batch', '9'], /^--outlier-batch differs/],
    ['another seed', ['--seed', '6'], /^--seed differs/],
    ['other margins', ['--m-in', '-20'], /^--m-in differs from the run in .* \(regulariser {/],
    ['another loss', ['--loss', 'oe'], /^--loss differs/],
    ['one margin', ['--loss', 'hinge', '--margin', '9'], /^--loss, --margin differs/],
    ['dropout', ['--dropout', '0'], /^--dropout differs .* \(dropout 0\.3\)/],
    ['no augmentation', ['--no-augment'], /^--no-augment differs from the run in .* \(augment true\)/],
    ['another normalisation', ['--normalize', 'none'], /^--normalize differs/],
    ['other steps', ['--steps', '7'], /^--steps differs/],
    [
      'other images',
      ['--in', '@other.npz'],
      /^the in-distribution images are not those that the run in .* began with: give the same files$/,
    ],
    ['other outliers', ['--outliers', '@in.npz'], /^the outliers are not those/],
    ['other weights', ['--weights', '@fresh.safetensors'], /^the weights are not those/],
  ])('does not go on with %s', async (_, change, message) => {
    writeFileSync(path('other.npz'), npzOf({ ...data.inDistribution, labels: new Int32Array(18) }));
    const fresh = wideResNet({ depth: 10, width: 1, classes: 10 }, { seed: 1, normalization: CIFAR });
    writeFileSync(path('fresh.safetensors'), encodeNetwork(fresh));
    const before = contents(path('.'));
    const given = change.map((value) => (value.startsWith('@') ? path(value.slice(1)) : value));
    const result = await inProcess(finetune('stopped', '--resume', saved, ...given));
    expect(result).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(/^energate: [^\n]+\n$/) });
    expect(result.stderr.slice('energate: '.length, -1)).toMatch(message);
    expect(contents(path('.'))).toEqual(before);
  });

  it('goes on to the same bytes, of network and log, as one that was never stopped', async () => {
    // What a process leaves that was killed while it wrote: steps after the checkpoint, and half a line.
    const log = readFileSync(path('stopped.jsonl'), 'utf8');
    const { step } = checkpointIn(saved).state;
    writeFileSync(path('stopped.jsonl'), `${log}${JSON.stringify({ step: step + 1, lr: 0 })}\n{"step":${step},"l`);

    const resumed = await energate(finetune('stopped', '--resume', saved));
    expect(resumed.code, resumed.stderr).toBe(0);
    const whole = await energate(finetune('whole'));
    expect(whole.code, whole.stderr).toBe(0);
    expect(readFileSync(path('stopped.safetensors'))).toEqual(readFileSync(path('whole.safetensors')));
    expect(readFileSync(path('stopped.jsonl'), 'utf8')).toBe(readFileSync(path('whole.jsonl'), 'utf8'));
    expect(resumed.stdout).toBe(whole.stdout.replace('whole', 'stopped'));
  }, 300_000);
});

it.each([
  ['SIGINT', 130],
  ['SIGHUP', 129],
] as const)(
  '%s saves where what read its stderr is gone, too',
  async (signal, code) => {
    const name = `unheard-${signal}`;
    const { child, result } = await startAndWait(finetune(name), path(`${name}.jsonl`));
    child.stderr!.destroy();
    child.kill(signal);
    expect(await result).toMatchObject({ code, stdout: '' });
    expect(checkpointIn(path(`${name}.safetensors.checkpoint`)).state.step).toBeGreaterThan(0);
  },
  60_000,
);

it('a log that can no longer be written ends the run, its state being saved', async () => {
  mkdirSync(path('logs'));
  const log = path('logs/run.jsonl');
  const { result } = await startAndWait(finetune('unlogged', '--log', log), log);
  rmSync(path('logs'), { recursive: true });
  const ended = await result;
  expect(ended).toMatchObject({ code: 1, stdout: '' });
  const folder = path('unlogged.safetensors.checkpoint');
  const { step } = checkpointIn(folder).state;
  const [message, , ...rest] = said(ended)
    .at(-1)!
    .split(/(; the figures of step \d+ to \d+ are not in it)/);
  expect([message, ...rest]).toEqual([
    `energate: cannot write ${log}: there is no such file or folder; check the path`,
    `; the state after step ${step} is saved in ${folder}`,
  ]);
}, 60_000);

it.each([0, 30])(
  'killed %d ms into saving, it leaves no checkpoint or a whole one',
  async (delay) => {
    const name = `killed-${delay}`;
    const folder = path(name);
    const { child, result } = await startAndWait(finetune(name, '--checkpoint', folder), path(`${name}.jsonl`));
    child.kill('SIGINT');
    await sleep(delay);
    child.kill('SIGKILL');
    await result;
    if (existsSync(`${folder}/checkpoint.safetensors`)) expect(checkpointIn(folder).state.step).toBeGreaterThan(0);
    expect(existsSync(path(`${name}.safetensors`))).toBe(false);
  },
  60_000,
);

it('--checkpoint saves every minute, as --resume does, and a run that had ended is resumed to its end', async () => {
  const folder = path('regular');
  const few = ['--steps', '2', '--checkpoint', folder, '--quiet'];
  // An hour passes between any two looks at the clock.
  let now = Date.now();
  const overHours = (args: readonly string[]) => {
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => (now += 3_600_000));
    return inProcess(args).finally(() => clock.mockRestore());
  };
  const first = await overHours(finetune('regular', ...few));
  expect(first).toMatchObject({ code: 0, stderr: '' });
  expect(readdirSync(folder)).toEqual(['checkpoint.safetensors']);
  expect(checkpointIn(folder).state.step).toBe(2);

  const network = readFileSync(path('regular.safetensors'));
  const log = readFileSync(path('regular.jsonl'), 'utf8');
  rmSync(path('regular.safetensors'));
  // A run that goes on from this folder saves there, too.
  const { mtimeMs } = statSync(`${folder}/checkpoint.safetensors`);
  const again = await overHours(finetune('regular', '--steps', '2', '--quiet', '--resume', folder));
  expect(statSync(`${folder}/checkpoint.safetensors`).mtimeMs).toBeGreaterThan(mtimeMs);
  expect(again).toEqual({ code: 0, stderr: '', stdout: 'regular.safetensors: saved after 2 steps\n' });
  expect(readFileSync(path('regular.safetensors'))).toEqual(network);
  expect(readFileSync(path('regular.jsonl'), 'utf8')).toBe(log);
  expect(process.listenerCount('SIGINT')).toBe(0);
});
