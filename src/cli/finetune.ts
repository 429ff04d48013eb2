import { basename } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../errors.js';
import type { Engine } from '../gpu/engine.js';
import { requireFloat16 } from '../graph/program.js';
import type { Normalization } from '../kernels/gather-images.js';
import { type EnergyStatistics, type Margins, measureEnergies, proposeMargins } from '../nn/margins.js';
import type { Network } from '../nn/network.js';
import { decodeNetwork } from '../nn/network-file.js';
import { OPTIMISER, type StepLog, type TrainingData, type TrainingOptions } from '../nn/trainer.js';
import { readStateDict } from '../node/files.js';
import { CIFAR_PART, IMAGE_FORMATS, readImageSet } from '../node/images.js';
import type { NetworkEvaluation } from '../ood/evaluate.js';
import { embeddedFinetuning, embeddedTest, embeddedWeights, FINETUNING } from './embedded.js';
import { openAnnouncedEngine } from './engine.js';
import { evaluateNetwork } from './evaluation.js';
import { addExamples, normalization } from './options.js';
import { addOutlierOptions, type OutlierArguments, regulariserOf } from './regulariser.js';
import {
  addTrainingOptions,
  prepareFiles,
  prepareRun,
  readCheckpoint,
  runTraining,
  stepsOf,
  type TrainingArguments,
} from './training.js';

interface Arguments extends TrainingArguments, OutlierArguments {
  readonly weights?: string;
  readonly in?: string;
  readonly outliers?: string;
  readonly loss: string;
  readonly margins?: string;
  readonly normalize?: Normalization;
}

const DEFAULTS = { epochs: 10, batch: 128, lr: 0.001 };

/** The embedded run. Any option given wins. */
const EMBEDDED = { ...FINETUNING, output: 'finetuned.safetensors' };

/** Its settings as they would be given, for the help text: they differ from the defaults of the options. */
const EMBEDDED_FLAGS = Object.entries(EMBEDDED)
  .map(([name, value]) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${value}`)
  .join(' ');

export function defineFinetune(command: Command): void {
  command
    .description(
      `Fine-tune a network with outliers, so that energy tells them apart (Liu et al. 2020), or with Outlier Exposure.\nWithout --weights, --in and --outliers, the embedded network on the embedded images, evaluated before and after; then the defaults are ${EMBEDDED_FLAGS}.`,
    )
    .option('--weights <file>', 'the network: .safetensors or a PyTorch file; its size is read off it')
    .option('--in <file>', `labelled in-distribution images: ${IMAGE_FORMATS}; ${CIFAR_PART.train}`)
    .option('--outliers <file>', 'outlier images, likewise');
  addOutlierOptions(command, 'energy')
    .option(
      '--margins <how>',
      'auto: instead of --m-in and --m-out, from the mean energies of the network on both sets',
    )
    .option(
      '--normalize <how>',
      'cifar, none or "r,g,b/r,g,b" (default: what the weights say, else cifar)',
      normalization,
    )
    .option('--output <file>', `the fine-tuned network, .safetensors (embedded run: ${EMBEDDED.output})`);
  addTrainingOptions(command, DEFAULTS);
  command.action((args: Arguments) => finetune(args, command));
  addExamples(command, [
    ['See it work, with nothing at hand', 'energate finetune'],
    [
      'CIFAR-10 as in the paper',
      'energate finetune --weights cifar10.pt --in cifar-10-binary.tar.gz --outliers 300K_random_images.npy --output tuned.safetensors',
    ],
    ['Margins from the energies of the network', 'energate finetune --margins auto'],
    ['Outlier Exposure instead', 'energate finetune --loss oe --output oe.safetensors'],
  ]);
}

async function finetune(given: Arguments, command: Command): Promise<void> {
  const embedded = isEmbedded(given);
  const args = await withMarginsOfCheckpoint(embedded ? withEmbeddedDefaults(given, command) : given, command);
  if (args.output === undefined)
    throw new UsageError('--output is missing: where is the fine-tuned network to be saved?');
  requireMargins(args, command);
  const regulariser = regulariserOf(args.loss, args, command);
  const files = await prepareFiles(args, [args.weights, args.in, args.outliers]);
  const data = embedded
    ? embeddedFinetuning()
    : { inDistribution: await readImageSet(args.in!), outliers: await readImageSet(args.outliers!) };
  const weights = embedded ? embeddedWeights() : args.weights!;
  const base = decodeNetwork(await readStateDict(weights), weights, args.normalize);
  const options: TrainingOptions = {
    steps: stepsOf(args, data.inDistribution.count, DEFAULTS.epochs),
    batch: args.batch,
    outlierBatch: args.outlierBatch,
    regulariser,
    learningRate: args.lr,
    ...OPTIMISER,
    dropout: args.dropout,
    augment: args.augment,
    shuffle: args.shuffle,
    seed: args.seed,
    float16: args.float16,
  };
  const { quiet } = args;
  const prepared = await prepareRun(
    { label: 'fine-tune', start: base, weights: base, data, options, files, quiet },
    args.resume,
    command,
  );

  const engine = await openAnnouncedEngine({ quiet, float16: prepared.options.float16 });
  if (prepared.options.float16) requireFloat16(engine);
  const measured = args.margins && !args.resume ? await measureMargins(engine, base, data) : undefined;
  if (measured && !args.json) console.log(marginLines(measured));
  const run = measured
    ? {
        ...prepared,
        options: { ...options, regulariser: regulariserOf(args.loss, { ...args, ...pair(measured) }, command) },
      }
    : prepared;
  const before = embedded ? await evaluateEmbedded(engine, base, 'before', args.quiet) : undefined;
  const { network, last } = await runTraining(engine, run);
  const after = embedded ? await evaluateEmbedded(engine, network, 'after', args.quiet) : undefined;
  engine.destroy();
  report(args, run.options.steps, last, before && after ? { before, after } : undefined, measured);
}

function isEmbedded({ weights, in: images, outliers }: Arguments): boolean {
  const missing = Object.entries({ '--weights': weights, '--in': images, '--outliers': outliers }).filter(
    ([, value]) => value === undefined,
  );
  if (missing.length > 0 && missing.length < 3) {
    throw new UsageError(
      `${missing.map(([flag]) => flag).join(' and ')} missing: give --weights, --in and --outliers, or none of them for the embedded run`,
    );
  }
  return missing.length === 3;
}

function withEmbeddedDefaults(args: Arguments, command: Command): Arguments {
  const chosen = Object.keys(EMBEDDED).filter(
    (name) => command.getOptionValueSource(name) !== 'cli' && !(name === 'steps' && args.epochs !== undefined),
  );
  return { ...args, ...Object.fromEntries(chosen.map((name) => [name, EMBEDDED[name as keyof typeof EMBEDDED]])) };
}

/** A run that goes on keeps its margins, wherever they came from; margins that are given are compared later. */
async function withMarginsOfCheckpoint(args: Arguments, command: Command): Promise<Arguments> {
  if (args.resume === undefined) return args;
  const { regulariser } = (await readCheckpoint(args.resume)).options;
  if (regulariser?.kind !== 'energy') {
    if (args.margins === undefined) return args;
    throw new UsageError(`--margins differs from the run in ${args.resume}, which has no margins: leave it out`);
  }
  const given = (name: string) => command.getOptionValueSource(name) === 'cli';
  return {
    ...args,
    mIn: given('mIn') ? args.mIn : regulariser.mIn,
    mOut: given('mOut') ? args.mOut : regulariser.mOut,
  };
}

function requireMargins({ margins, loss }: Arguments, command: Command): void {
  if (margins === undefined) return;
  if (margins !== 'auto')
    throw new UsageError(`--margins ${margins} does not exist: give auto, or numbers with --m-in and --m-out`);
  const numbers = ['mIn', 'mOut'].filter((name) => command.getOptionValueSource(name) === 'cli');
  if (numbers.length > 0) {
    const flags = numbers.map((name) => (name === 'mIn' ? '--m-in' : '--m-out')).join(' and ');
    throw new UsageError(`--margins auto chooses what ${flags} would set: give one or the other`);
  }
  if (loss !== 'energy') throw new UsageError(`--loss ${loss} has no margins: leave out --margins auto`);
}

interface MeasuredMargins extends Margins {
  readonly inDistribution: EnergyStatistics;
  readonly outliers: EnergyStatistics;
}

const pair = ({ mIn, mOut }: Margins) => ({ mIn, mOut });

async function measureMargins(engine: Engine, network: Network, data: TrainingData): Promise<MeasuredMargins> {
  const inDistribution = await measureEnergies(engine, network, data.inDistribution);
  const outliers = await measureEnergies(engine, network, data.outliers!);
  return { ...proposeMargins(inDistribution, outliers), inDistribution, outliers };
}

/** What was measured, what was chosen, and why. */
function marginLines({ mIn, mOut, reason, inDistribution, outliers }: MeasuredMargins): string {
  const figures = ({ mean, std, count }: EnergyStatistics) =>
    `${mean.toFixed(2)} ± ${std.toFixed(2)} (${count} images)`;
  return [
    `energies before: ${figures(inDistribution)} in-distribution, ${figures(outliers)} on outliers`,
    `margins: m_in ${mIn}, m_out ${mOut}: ${reason}`,
  ].join('\n');
}

function evaluateEmbedded(
  engine: Engine,
  network: Network,
  when: string,
  quiet: true | undefined,
): Promise<NetworkEvaluation> {
  return evaluateNetwork(engine, network, embeddedTest(), {
    scores: ['msp', 'energy'],
    protocol: 'full',
    label: `evaluate ${when}`,
    quiet,
  });
}

function report(
  args: Arguments,
  steps: number,
  last: StepLog | undefined,
  evaluations: { before: NetworkEvaluation; after: NetworkEvaluation } | undefined,
  margins: MeasuredMargins | undefined,
): void {
  if (args.json) {
    console.log(JSON.stringify({ output: args.output, margins, last, ...evaluations }, null, 2));
    return;
  }
  if (evaluations) console.log(compare(evaluations.before, evaluations.after));
  const figures = last
    ? `, loss ${last.loss.toFixed(4)}, mean energy ${last.energy_in.toFixed(2)} in-distribution and ${last.energy_out.toFixed(2)} on outliers`
    : '';
  console.log(`${basename(args.output)}: saved after ${steps} steps${figures}`);
}

/** FPR95 / AUROC / AUPR of both evaluations side by side, in percent. */
export function compare(before: NetworkEvaluation, after: NetworkEvaluation): string {
  const cell = ({ fpr95, auroc, aupr_in }: NetworkEvaluation['results'][number]) =>
    [fpr95, auroc, aupr_in].map((value) => (100 * value).toFixed(2).padStart(6)).join(' /');
  const rows = before.results.map((row, i) => [row.score, row.set, cell(row), cell(after.results[i]!)]);
  const width = Math.max(...rows.map(([, set]) => set!.length));
  const line = ([score, set, a, b]: readonly string[]) => `${score!.padEnd(7)} ${set!.padEnd(width)}  ${a}   ${b}`;
  return [
    "FPR95 / AUROC / AUPR in %, in-distribution positive, nearest recall (the paper's convention)",
    line(['score', 'set', 'before'.padEnd(cell(before.results[0]!).length), 'after']),
    ...rows.map(line),
    `accuracy ${(100 * before.accuracy).toFixed(2)} % before, ${(100 * after.accuracy).toFixed(2)} % after`,
  ].join('\n');
}
