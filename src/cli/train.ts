import { basename } from 'node:path';
import type { Command } from 'commander';
import { type Images, requireLabels, sourceOf } from '../data/image-set.js';
import { DataError, UsageError } from '../errors.js';
import type { Regulariser } from '../graph/ops/energy-loss.js';
import type { Normalization } from '../kernels/gather-images.js';
import { type Network, parameterCount } from '../nn/network.js';
import { OPTIMISER, type StepLog, type TrainingOptions } from '../nn/trainer.js';
import { wideResNet } from '../nn/wide-resnet.js';
import { CIFAR_PART, IMAGE_FORMATS, readImageSet } from '../node/images.js';
import { embeddedOutliers, embeddedTraining } from './embedded.js';
import { openAnnouncedEngine } from './engine.js';
import { addExamples, normalization, positiveInteger } from './options.js';
import { addOutlierOptions, givenOutlierOption, type OutlierArguments, regulariserOf } from './regulariser.js';
import {
  addTrainingOptions,
  prepareFiles,
  prepareRun,
  runTraining,
  stepsOf,
  type TrainingArguments,
} from './training.js';

interface Arguments extends TrainingArguments, OutlierArguments {
  readonly data?: string;
  readonly outliers?: string;
  readonly loss?: string;
  readonly depth: number;
  readonly width: number;
  readonly normalize: Normalization;
}

const DEFAULTS = { epochs: 100, batch: 128, lr: 0.1 };

export function defineTrain(command: Command): void {
  command
    .description(
      'Train a WideResNet from scratch by the protocol of the paper: SGD with Nesterov momentum 0.9, weight decay 5e-4 and a cosine schedule; with outliers too, by any loss of finetune.',
    )
    .option('--data <file>', `labelled images: ${IMAGE_FORMATS}; ${CIFAR_PART.train} (default: the embedded set)`)
    .option('--depth <n>', 'depth, 6n + 4', positiveInteger, 16)
    .option('--width <n>', 'width factor', positiveInteger, 1)
    .option(
      '--normalize <how>',
      'cifar, none or "r,g,b/r,g,b" (mean and std of pixels in 0..1)',
      normalization,
      normalization('cifar'),
    )
    .requiredOption('--output <file>', 'the trained network, .safetensors')
    .option('--outliers <file>', 'outlier images, likewise (without --data but with --loss: the embedded ones)');
  addOutlierOptions(command);
  addTrainingOptions(command, DEFAULTS);
  command.action((args: Arguments) => train(args, command));
  addExamples(command, [
    ['A small network on the embedded set', 'energate train --depth 10 --epochs 12 --output shapes.safetensors'],
    [
      'The same with outliers from the first step',
      'energate train --depth 10 --epochs 12 --loss oe --outlier-batch 128 --output exposed.safetensors',
    ],
    [
      'The network of the paper',
      'energate train --data cifar-10-binary.tar.gz --depth 40 --width 2 --output wrn-40-2.safetensors',
    ],
  ]);
}

async function train(args: Arguments, command: Command): Promise<void> {
  const regulariser = outlierTerm(args, command);
  const files = await prepareFiles(args, [args.data, args.outliers]);
  const set: Images = args.data ? await readImageSet(args.data) : embeddedTraining();
  const options: TrainingOptions = {
    steps: stepsOf(args, set.count, DEFAULTS.epochs),
    batch: args.batch,
    outlierBatch: regulariser ? args.outlierBatch : 0,
    regulariser,
    learningRate: args.lr,
    ...OPTIMISER,
    dropout: args.dropout,
    augment: args.augment,
    shuffle: args.shuffle,
    seed: args.seed,
    float16: args.float16,
  };
  const { depth, width, seed, normalize, quiet } = args;
  const start = wideResNet(
    { depth, width, classes: classesOf(set) },
    { seed, normalization: normalize, classNames: set.classNames },
  );
  const outliers = regulariser && (args.outliers ? await readImageSet(args.outliers) : embeddedOutliers());
  const data = { inDistribution: set, ...(outliers && { outliers }) };
  const run = await prepareRun({ label: 'train', start, data, options, files, quiet }, args.resume, command);
  const engine = await openAnnouncedEngine({ quiet, float16: run.options.float16 });
  const { network, last } = await runTraining(engine, run);
  engine.destroy();
  report(args, set, network, run.options.steps, last);
}

/** What outliers add to the loss; nothing where there are to be none. */
function outlierTerm(args: Arguments, command: Command): Regulariser | undefined {
  const { data, outliers, loss = outliers && 'energy' } = args;
  if (loss === undefined) {
    const given = givenOutlierOption(command);
    if (given)
      throw new UsageError(`${given} is of training with outliers: give --outliers, or --loss for the embedded`);
    return undefined;
  }
  if (data && !outliers) throw new UsageError(`--outliers is missing: --loss ${loss} needs outlier images`);
  return regulariserOf(loss, args, command);
}

/** As many classes as the set names, or as its labels tell. */
function classesOf(set: Images): number {
  if (set.classNames) return set.classNames.length;
  const labels = requireLabels(set, Number.POSITIVE_INFINITY);
  const classes = labels.reduce((most, label) => Math.max(most, label), 0) + 1;
  if (classes < 2)
    throw new DataError(`${sourceOf(set)}: every label is 0, but there must be at least 2 classes; number them from 0`);
  if (classes > set.count) {
    throw new DataError(
      `${sourceOf(set)}: its ${set.count} images have labels up to ${classes - 1}; number the classes from 0 without gaps`,
    );
  }
  return classes;
}

function report(args: Arguments, set: Images, network: Network, steps: number, last: StepLog | undefined): void {
  const parameters = parameterCount(network.config);
  if (args.json) {
    console.log(JSON.stringify({ output: args.output, network: network.config, parameters, last }, null, 2));
    return;
  }
  const { depth, width } = network.config;
  const figures = last ? `, loss ${last.loss.toFixed(4)}` : '';
  console.log(
    `${basename(args.output)}: WRN-${depth}-${width} of ${parameters} parameters, ${steps} steps on ${set.name}${figures}`,
  );
}
