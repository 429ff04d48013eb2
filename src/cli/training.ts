import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { DivergenceError, UsageError } from '../errors.js';
import type { Engine } from '../gpu/engine.js';
import {
  type Checkpoint,
  decodeCheckpoint,
  encodeCheckpoint,
  fingerprints,
  requireSameData,
} from '../nn/checkpoint.js';
import type { Network } from '../nn/network.js';
import { encodeNetwork } from '../nn/network-file.js';
import { type StepLog, Trainer, type TrainingData, type TrainingOptions } from '../nn/trainer.js';
import { checkWritable, readFileBytes, writeFileAtomic } from '../node/files.js';
import { catchInterrupts, type InterruptedError } from './interrupt.js';
import { addQuiet, positiveInteger, positiveNumber, probability, seed } from './options.js';
import { startProgress } from './progress.js';

/** What `train` and `finetune` have in common on the command line. */
export interface TrainingArguments {
  readonly epochs?: number;
  readonly steps?: number;
  readonly batch: number;
  readonly lr: number;
  readonly dropout: number;
  readonly seed: number;
  readonly augment: boolean;
  readonly shuffle: boolean;
  readonly log?: string;
  readonly checkpoint?: string;
  readonly resume?: string;
  readonly output: string;
  readonly json?: true;
  readonly quiet?: true;
}

/** Declare those options. */
export function addTrainingOptions(command: Command, defaults: { epochs: number; batch: number; lr: number }): Command {
  command
    .option('--epochs <n>', `passes over the training images (default: ${defaults.epochs})`, positiveNumber)
    .option('--steps <n>', 'updates, instead of --epochs', positiveInteger)
    .option('--batch <n>', 'labelled images a step', positiveInteger, defaults.batch)
    .option('--lr <rate>', 'base learning rate of the cosine schedule', positiveNumber, defaults.lr)
    .option('--dropout <p>', 'probability, between the convolutions of a block', probability, 0.3)
    .option('--seed <n>', 'of data order, augmentation and dropout', seed, 1)
    .option('--no-augment', 'no random flips and crops')
    .option('--no-shuffle', "take images in their files' order")
    .option('--log <file>', 'write the figures of every step, a line of JSON each')
    .option('--checkpoint <dir>', 'save the state of the run here, every minute and on Ctrl-C')
    .option('--resume <dir>', 'go on from what --checkpoint or Ctrl-C saved, to the same bytes as without a stop')
    .option('--json', 'print the result as JSON');
  return addQuiet(command);
}

/** Steps from --steps, else --epochs, else the default. */
export function stepsOf(args: TrainingArguments, images: number, defaultEpochs: number): number {
  if (args.steps !== undefined && args.epochs !== undefined) throw new UsageError('give --steps or --epochs, not both');
  return args.steps ?? Math.max(1, Math.round(((args.epochs ?? defaultEpochs) * images) / args.batch));
}

/** Which arguments decide which of the options a checkpoint keeps. */
const DECIDED_BY: Readonly<Partial<Record<keyof TrainingOptions, readonly string[]>>> = {
  steps: ['steps', 'epochs'],
  batch: ['batch'],
  outlierBatch: ['outlierBatch'],
  regulariser: ['loss', 'mIn', 'mOut', 'lambda'],
  learningRate: ['lr'],
  dropout: ['dropout'],
  augment: ['augment'],
  shuffle: ['shuffle'],
  seed: ['seed'],
};

/** Where a run's files go; found writable before anything is computed. */
export interface RunFiles {
  readonly output: string;
  readonly log: string | undefined;
  /** The folder that takes the state on Ctrl-C, and every minute if it was asked for. */
  readonly checkpoint: { readonly folder: string; readonly regular: boolean };
}

export async function prepareFiles(
  args: Pick<TrainingArguments, 'output' | 'log' | 'checkpoint' | 'resume'>,
): Promise<RunFiles> {
  await checkWritable(args.output);
  if (args.log) await checkWritable(args.log);
  const folder = args.checkpoint ?? args.resume ?? `${args.output}.checkpoint`;
  if (args.checkpoint) {
    await mkdir(folder, { recursive: true }).catch((error: Error) => {
      throw new UsageError(`--checkpoint ${folder} cannot be made: ${error.message}`);
    });
    await checkWritable(join(folder, CHECKPOINT_FILE));
  }
  return { output: args.output, log: args.log, checkpoint: { folder, regular: args.checkpoint !== undefined } };
}

const CHECKPOINT_FILE = 'checkpoint.safetensors';
const CHECKPOINT_INTERVAL = 60_000;

/**
 * The checkpoint to go on from. Options that the command line names must be those the run began with; the others are taken
 * from it.
 */
export async function readCheckpoint(
  folder: string,
  command: Command,
  wanted: (network: Network) => TrainingOptions,
): Promise<Checkpoint> {
  const path = join(folder, CHECKPOINT_FILE);
  const checkpoint = decodeCheckpoint(await readFileBytes(path), path);
  const given = wanted(checkpoint.state.network);
  for (const [option, names] of Object.entries(DECIDED_BY) as [keyof TrainingOptions, readonly string[]][]) {
    const named = names.filter((name) => command.getOptionValueSource(name) === 'cli');
    if (named.length > 0 && JSON.stringify(given[option]) !== JSON.stringify(checkpoint.options[option])) {
      const flags = named
        .map((name) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`)
        .join(', ');
      throw new UsageError(
        `${flags} differs from the run in ${folder} (${option} ${JSON.stringify(checkpoint.options[option])}): leave it out, or start anew without --resume`,
      );
    }
  }
  return checkpoint;
}

/** A training run from its beginning, or from a checkpoint, to its saved network. */
export interface Run {
  readonly label: string;
  readonly start: Network | Checkpoint;
  readonly data: TrainingData;
  readonly options: TrainingOptions;
  readonly files: RunFiles;
  readonly quiet?: boolean | undefined;
}

/**
 * Train with a progress bar, a log, checkpoints and Ctrl-C, and save the network.
 * @throws InterruptedError after Ctrl-C, the state being saved; DivergenceError likewise
 */
export async function runTraining(engine: Engine, run: Run): Promise<{ network: Network; last: StepLog }> {
  const { data, options, files, start } = run;
  const resumed = 'options' in start ? start : undefined;
  const hashes = await fingerprints(data);
  if (resumed) requireSameData(resumed, hashes, files.checkpoint.folder);
  if (files.log) await startLog(files.log, resumed?.state.step ?? 0);
  const signal = catchInterrupts();
  const trainer = await Trainer.create(engine, resumed?.state ?? (start as Network), data, options);
  const progress = startProgress({ label: run.label, total: options.steps, start: trainer.step, quiet: run.quiet });

  const save = async (): Promise<string> => {
    const { folder } = files.checkpoint;
    await mkdir(folder, { recursive: true });
    const checkpoint = { state: await trainer.state(), options, data: hashes };
    await writeFileAtomic(join(folder, CHECKPOINT_FILE), encodeCheckpoint(checkpoint));
    return folder;
  };
  let saved = Date.now();
  let last: StepLog | undefined;
  try {
    await trainer.run(async (logs) => {
      if (files.log) await appendFile(files.log, logs.map((entry) => `${JSON.stringify(logLine(entry))}\n`).join(''));
      if (logs.length > 0) {
        last = logs.at(-1)!;
        progress.update(last.step, figures(last, options));
      }
      if (files.checkpoint.regular && Date.now() - saved >= CHECKPOINT_INTERVAL) {
        await save();
        saved = Date.now();
      }
    }, signal);
  } catch (error) {
    progress.end();
    if (!(error instanceof DivergenceError)) throw error;
    const folder = await save();
    throw new DivergenceError(`${error.message}; the state after step ${trainer.step} is saved in ${folder}`);
  }
  progress.end();

  if (signal.aborted && trainer.step < options.steps) {
    const folder = await save();
    const interruption = signal.reason as InterruptedError;
    interruption.message = `stopped after step ${trainer.step} of ${options.steps}; go on with --resume ${folder}`;
    throw interruption;
  }
  const network = await trainer.network();
  await writeFileAtomic(files.output, encodeNetwork(network));
  trainer.destroy();
  return { network, last: last! };
}

/** The fields of a line of --log. */
function logLine({ step, lr, loss, cross_entropy, regulariser, energy_in, energy_out }: StepLog) {
  return { step, lr, loss, cross_entropy, regulariser, energy_in, energy_out };
}

function figures(entry: StepLog, { outlierBatch }: TrainingOptions): Record<string, number> {
  const { loss, accuracy, energy_in, energy_out } = entry;
  return outlierBatch > 0 ? { loss, 'E in': energy_in, 'E out': energy_out } : { loss, accuracy };
}

/** Begin a log, or cut one back to the steps that were done when the run stopped. */
async function startLog(path: string, step: number): Promise<void> {
  const text = step > 0 ? await readFile(path, 'utf8').catch(() => '') : '';
  const kept = text.split('\n').filter((line) => line !== '' && (JSON.parse(line) as StepLog).step <= step);
  await writeFile(path, kept.map((line) => `${line}\n`).join(''));
}
