import { basename } from 'node:path';
import type { Command } from 'commander';
import { type ImageSet, requireLabels } from '../data/image-set.js';
import type { Normalization } from '../kernels/gather-images.js';
import { parameterCount } from '../nn/network.js';
import { OPTIMISER, type TrainingOptions } from '../nn/trainer.js';
import { wideResNet } from '../nn/wide-resnet.js';
import { readImageSet } from '../node/files.js';
import { embeddedTraining } from './embedded.js';
import { openAnnouncedEngine } from './engine.js';
import { addExamples, normalization, positiveInteger } from './options.js';
import {
  addTrainingOptions,
  prepareFiles,
  readCheckpoint,
  runTraining,
  stepsOf,
  type TrainingArguments,
} from './training.js';

interface Arguments extends TrainingArguments {
  readonly data?: string;
  readonly depth: number;
  readonly width: number;
  readonly normalize: Normalization;
}

const DEFAULTS = { epochs: 100, batch: 128, lr: 0.1 };

export function defineTrain(command: Command): void {
  command
    .description(
      'Train a WideResNet from scratch by the protocol of the paper: SGD with Nesterov momentum 0.9, weight decay 5e-4 and a cosine schedule.',
    )
    .option('--data <file>', 'labelled images: .npz, CIFAR binary folder or .tar.gz (default: the embedded set)')
    .option('--depth <n>', 'depth, 6n + 4', positiveInteger, 16)
    .option('--width <n>', 'width factor', positiveInteger, 1)
    .option(
      '--normalize <how>',
      'cifar, none or "r,g,b/r,g,b" (mean and std of pixels in 0..1)',
      normalization,
      normalization('cifar'),
    )
    .requiredOption('--output <file>', 'the trained network, .safetensors');
  addTrainingOptions(command, DEFAULTS);
  command.action((args: Arguments) => train(args, command));
  addExamples(command, [
    ['A small network on the embedded set', 'energate train --depth 10 --epochs 12 --output shapes.safetensors'],
    [
      'The network of the paper',
      'energate train --data cifar-10-binary.tar.gz --depth 40 --width 2 --output wrn-40-2.safetensors',
    ],
  ]);
}

async function train(args: Arguments, command: Command): Promise<void> {
  const files = await prepareFiles(args);
  const set: ImageSet = args.data ? await readImageSet(args.data) : embeddedTraining();
  const classes = set.classNames?.length ?? Math.max(...(set.labels ?? [])) + 1;
  requireLabels(set, Math.max(classes, 1));
  const options = (): TrainingOptions => ({
    steps: stepsOf(args, set.count, DEFAULTS.epochs),
    batch: args.batch,
    outlierBatch: 0,
    learningRate: args.lr,
    ...OPTIMISER,
    dropout: args.dropout,
    augment: args.augment,
    shuffle: args.shuffle,
    seed: args.seed,
  });
  const checkpoint = args.resume ? await readCheckpoint(args.resume, command, options) : undefined;
  const { depth, width, seed } = args;
  const config = { depth, width, classes };
  const start = checkpoint ?? wideResNet(config, { seed, normalization: args.normalize, classNames: set.classNames });
  const engine = await openAnnouncedEngine(args);
  const { network, last } = await runTraining(engine, {
    label: `train WRN-${depth}-${width}`,
    start,
    data: { inDistribution: set },
    options: checkpoint?.options ?? options(),
    files,
    quiet: args.quiet,
  });
  engine.destroy();
  const parameters = parameterCount(network.config);
  if (args.json)
    console.log(JSON.stringify({ output: args.output, network: network.config, parameters, last }, null, 2));
  else
    console.log(
      `${basename(args.output)}: WRN-${network.config.depth}-${network.config.width} of ${parameters} parameters, ${last.step} steps on ${set.name}, loss ${last.loss.toFixed(4)}`,
    );
}
