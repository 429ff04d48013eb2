import { existsSync } from 'node:fs';
import { appendFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { DataError, DeviceError, UsageError } from '../errors.js';
import type { Engine } from '../gpu/engine.js';
import {
  type Checkpoint,
  type DataFingerprints,
  decodeCheckpoint,
  encodeCheckpoint,
  fingerprints,
  requireSameData,
} from '../nn/checkpoint.js';
import type { Network, WideResNetConfig } from '../nn/network.js';
import { encodeNetwork } from '../nn/network-file.js';
import {
  checkTraining,
  type StepLog,
  Trainer,
  type TrainingData,
  type TrainingOptions,
  type TrainingState,
} from '../nn/trainer.js';
import { checkAppendable, checkWritable, readFileBytes, reason, writeFileAtomic } from '../node/files.js';
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
  readonly float16?: true;
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
    .option(
      '--float16',
      'store activations as float16, in half the memory, and multiply them on matrix units where there are some; the adapter needs shader-f16',
    )
    .option('--log <file>', 'write the figures of every step, a line of JSON each')
    .option(
      '--checkpoint <dir>',
      'save the state of the run here, every minute and on Ctrl-C (default: the folder of --resume; else OUTPUT.checkpoint, on Ctrl-C alone)',
    )
    .option('--resume <dir>', 'go on from what --checkpoint or Ctrl-C saved, to the same bytes as without a stop')
    .option('--json', 'print the result as JSON');
  return addQuiet(command);
}

/** Steps from --steps, else --epochs, else the default. */
export function stepsOf(
  args: Pick<TrainingArguments, 'steps' | 'epochs' | 'batch'>,
  images: number,
  defaultEpochs: number,
): number {
  if (args.steps !== undefined && args.epochs !== undefined) throw new UsageError('give --steps or --epochs, not both');
  return args.steps ?? Math.max(1, Math.round(((args.epochs ?? defaultEpochs) * images) / args.batch));
}

/** What a run keeps to from beginning to end. */
type Settings = TrainingOptions & WideResNetConfig & Pick<Network, 'normalization'>;

const settingsOf = (network: Network, options: TrainingOptions): Settings => ({
  ...options,
  ...network.config,
  normalization: network.normalization,
});

/** Which arguments decide which setting. */
const DECIDED_BY: Readonly<Partial<Record<keyof Settings, readonly string[]>>> = {
  depth: ['depth'],
  width: ['width'],
  normalization: ['normalize'],
  steps: ['steps', 'epochs'],
  batch: ['batch'],
  outlierBatch: ['outlierBatch'],
  regulariser: ['loss', 'mIn', 'mOut', 'margin', 'lambda'],
  learningRate: ['lr'],
  dropout: ['dropout'],
  augment: ['augment'],
  shuffle: ['shuffle'],
  float16: ['float16'],
  seed: ['seed'],
};

/** Where a run's files go. */
export interface RunFiles {
  readonly output: string;
  readonly log: string | undefined;
  /** The folder that takes the state on Ctrl-C, and every minute if a folder was named. */
  readonly checkpoint: { readonly folder: string; readonly regular: boolean };
}

/**
 * Where a run's files go, found writable before anything is computed; nothing is left behind by that.
 * @param inputs the files that are read, none of which may be written
 */
export async function prepareFiles(
  args: Pick<TrainingArguments, 'output' | 'log' | 'checkpoint' | 'resume'>,
  inputs: readonly (string | undefined)[],
): Promise<RunFiles> {
  await checkWritable(args.output, inputs);
  if (args.log) await checkAppendable(args.log, inputs);
  const folder = args.checkpoint ?? args.resume ?? `${args.output}.checkpoint`;
  const made = await mkdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    const reason = error.code === 'EEXIST' ? 'a file has that name' : error.message;
    throw new DataError(`cannot make the folder for checkpoints, ${folder}: ${reason}; give another --checkpoint`);
  });
  await checkWritable(join(folder, CHECKPOINT_FILE), inputs);
  if (made) await rm(made, { recursive: true });
  return {
    output: args.output,
    log: args.log,
    checkpoint: { folder, regular: (args.checkpoint ?? args.resume) !== undefined },
  };
}

const CHECKPOINT_FILE = 'checkpoint.safetensors';
const CHECKPOINT_INTERVAL = 60_000;

/**
 * The state and options of a run that --checkpoint or Ctrl-C saved.
 * @throws DataError where the folder has no checkpoint, or not a whole one
 */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const path = join(folder, CHECKPOINT_FILE);
  return decodeCheckpoint(await readFileBytes(path), path);
}

/** Whether the folder has a checkpoint. */
export const hasCheckpoint = (folder: string): boolean => existsSync(join(folder, CHECKPOINT_FILE));

/** A training run from its beginning, or from a checkpoint, to its saved network. */
export interface Run {
  readonly label: string;
  readonly start: Network | TrainingState;
  readonly data: TrainingData;
  readonly fingerprints: DataFingerprints;
  readonly options: TrainingOptions;
  readonly files: RunFiles;
  readonly quiet?: boolean | undefined;
}

/**
 * A run that nothing speaks against, found without a GPU. With --resume it goes on from the checkpoint: what the command line
 * names must be as the run began, everything else is taken from it.
 * @param wanted.weights the network that is fine-tuned; absent where `start` is a fresh one
 */
export async function prepareRun(
  wanted: Omit<Run, 'start' | 'fingerprints'> & { readonly start: Network; readonly weights?: Network },
  resume: string | undefined,
  command: Command,
): Promise<Run> {
  const { weights, ...run } = wanted;
  const hashes = await fingerprints(run.data, weights);
  if (resume === undefined) {
    checkTraining(run.start, run.data, run.options);
    return { ...run, fingerprints: hashes };
  }
  const checkpoint = await readCheckpoint(resume);
  requireSameSettings(checkpoint, settingsOf(run.start, run.options), resume, command);
  requireSameData(checkpoint, hashes, resume);
  const { state, options } = checkpoint;
  checkTraining(state.network, run.data, options);
  return { ...run, start: state, options, fingerprints: hashes };
}

function requireSameSettings(checkpoint: Checkpoint, given: Settings, folder: string, command: Command): void {
  const begun = settingsOf(checkpoint.state.network, checkpoint.options);
  for (const [setting, names] of Object.entries(DECIDED_BY) as [keyof Settings, readonly string[]][]) {
    const named = names.filter((name) => command.getOptionValueSource(name) === 'cli');
    if (named.length > 0 && JSON.stringify(given[setting]) !== JSON.stringify(begun[setting])) {
      const flags = command.options.filter((option) => named.includes(option.attributeName())).map(({ long }) => long);
      throw new UsageError(
        `${flags.join(', ')} differs from the run in ${folder} (${setting} ${JSON.stringify(begun[setting])}): leave it out, or start anew without --resume`,
      );
    }
  }
}

/**
 * Train with a progress bar, a log, checkpoints and Ctrl-C, and save the network.
 * @returns the network, and the figures of the last step (none where the checkpoint was of a run that had ended)
 * @throws InterruptedError after Ctrl-C, the state being saved; DivergenceError, and DataError where a file cannot be written,
 * likewise
 */
export async function runTraining(engine: Engine, run: Run): Promise<{ network: Network; last: StepLog | undefined }> {
  const interrupts = catchInterrupts();
  try {
    return await trainAndSave(engine, run, interrupts.signal);
  } finally {
    // The same press of Ctrl-C may come once more, and must not end a process that is about to say what it saved.
    if (!interrupts.signal.aborted) interrupts.release();
  }
}

async function trainAndSave(
  engine: Engine,
  run: Run,
  signal: AbortSignal,
): Promise<{ network: Network; last: StepLog | undefined }> {
  const { data, options, files, start } = run;
  const trainer = await Trainer.create(engine, start, data, options);
  if (files.log) await startLog(files.log, trainer.step);
  const progress = startProgress({ label: run.label, total: options.steps, start: trainer.step, quiet: run.quiet });

  const save = async (): Promise<string> => {
    const { folder } = files.checkpoint;
    await mkdir(folder, { recursive: true });
    const checkpoint = { state: await trainer.state(), options, data: run.fingerprints };
    await writeFileAtomic(join(folder, CHECKPOINT_FILE), encodeCheckpoint(checkpoint));
    return folder;
  };
  let saved = Date.now();
  let last: StepLog | undefined;
  try {
    await trainer.run(async (logs) => {
      if (files.log) await extendLog(files.log, logs);
      if (logs.length > 0) {
        last = logs.at(-1)!;
        progress.update(last.step, figures(last, options));
      }
      if (files.checkpoint.regular && Date.now() - saved >= CHECKPOINT_INTERVAL) {
        await save();
        saved = Date.now();
      }
    }, signal);
    if (trainer.step >= options.steps) {
      const network = await trainer.network();
      await writeFileAtomic(files.output, encodeNetwork(network));
      trainer.destroy();
      return { network, last };
    }
  } catch (error) {
    // Of a device that was lost, nothing can be read.
    const folder = error instanceof DeviceError ? undefined : await save().catch(() => undefined);
    if (folder) (error as Error).message += `; the state after step ${trainer.step} is saved in ${folder}`;
    throw error;
  } finally {
    progress.end();
  }
  const folder = await save();
  const interruption = signal.reason as InterruptedError;
  interruption.message = `stopped after step ${trainer.step} of ${options.steps}; go on with --resume ${folder}`;
  throw interruption;
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
  const kept = text.split('\n').filter((line) => stepIn(line) <= step);
  await writeFile(path, kept.map((line) => `${line}\n`).join('')).catch(cannotWrite(path));
}

async function extendLog(path: string, logs: readonly StepLog[]): Promise<void> {
  const lines = logs.map((entry) => `${JSON.stringify(logLine(entry))}\n`);
  await appendFile(path, lines.join('')).catch(
    cannotWrite(path, `; the figures of step ${logs[0]?.step} to ${logs.at(-1)?.step} are not in it`),
  );
}

const cannotWrite =
  (path: string, lacking = '') =>
  (error: unknown) => {
    throw new DataError(`cannot write ${path}: ${reason(error)}${lacking}`, { cause: error });
  };

/** The step that a line of a log is of; none for what is left of a line where a run was killed. */
function stepIn(line: string): number {
  try {
    return (JSON.parse(line) as StepLog).step;
  } catch {
    return Number.NaN;
  }
}
