import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Engine } from '../gpu/engine.js';
import type { Regulariser } from '../graph/ops/energy-loss.js';
import { type DataFingerprints, fingerprints } from '../nn/checkpoint.js';
import type { Network } from '../nn/network.js';
import { decodeNetwork } from '../nn/network-file.js';
import { OPTIMISER, type TrainingData, type TrainingOptions } from '../nn/trainer.js';
import { readStateDict } from '../node/files.js';
import { FINETUNING } from './embedded.js';
import { keyOf } from './experiment/memory.js';
import { positiveInteger, positiveNumber, probability } from './options.js';
import { hasCheckpoint, readCheckpoint, runTraining, stepsOf } from './training.js';
import { ownVersion } from './version.js';

/** How commands that fine-tune by themselves do it. */
export interface TuningArguments {
  readonly epochs?: number;
  readonly steps?: number;
  readonly batch: number;
  readonly outlierBatch: number;
  readonly lr: number;
  readonly dropout: number;
  readonly seed: number;
}

export function addTuningOptions(command: Command): Command {
  return command
    .option('--epochs <n>', 'of fine-tuning (default: 10)', positiveNumber)
    .option('--steps <n>', 'updates, instead of --epochs', positiveInteger)
    .option('--batch <n>', 'labelled images a step', positiveInteger, 128)
    .option('--outlier-batch <n>', 'outlier images a step', positiveInteger, 256)
    .option('--lr <rate>', 'base learning rate of the cosine schedule', positiveNumber, 0.001)
    .option('--dropout <p>', 'probability, between the convolutions of a block', probability, 0.3);
}

/** The options as given, and where they are not, those of the embedded run. */
export function embeddedTuning<T extends TuningArguments>(args: T, command: Command): T {
  const { steps, batch, outlierBatch, lr, dropout } = FINETUNING;
  const given = (name: string) => command.getOptionValueSource(name) === 'cli';
  const defaults = Object.entries({ steps, batch, outlierBatch, lr, dropout }).filter(
    ([name]) => !given(name) && !(name === 'steps' && given('epochs')),
  );
  return { ...args, ...Object.fromEntries(defaults) };
}

/** Fine-tunes one network again and again on the same data. */
export interface Tuner {
  readonly options: Omit<TrainingOptions, 'regulariser'>;
  /** Once for each regulariser: a network that is in the folder already is read, a run that was stopped goes on. */
  tune(engine: Engine, regulariser: Regulariser, label: string): Promise<Network>;
}

/** @param folder takes networks, and the state of the run that is under way */
export async function tunerOf(
  base: Network,
  data: Required<TrainingData>,
  args: TuningArguments,
  { folder, quiet }: { folder: string; quiet?: boolean | undefined },
): Promise<Tuner> {
  const options = {
    steps: stepsOf(args, data.inDistribution.count, 10),
    batch: args.batch,
    outlierBatch: args.outlierBatch,
    learningRate: args.lr,
    ...OPTIMISER,
    dropout: args.dropout,
    augment: true,
    shuffle: true,
    seed: args.seed,
  };
  let prints: DataFingerprints | undefined;
  return {
    options,
    async tune(engine, regulariser, label) {
      prints ??= await fingerprints(data, base);
      const key = keyOf(ownVersion(), JSON.stringify([prints, base.config, base.normalization, options, regulariser]));
      const output = join(folder, `network-${key}.safetensors`);
      if (existsSync(output)) return decodeNetwork(await readStateDict(output), output);
      await mkdir(folder, { recursive: true });
      const run = join(folder, `run-${key}`);
      const { network } = await runTraining(engine, {
        label,
        start: hasCheckpoint(run) ? (await readCheckpoint(run)).state : base,
        data,
        fingerprints: prints,
        options: { ...options, regulariser },
        files: { output, log: undefined, checkpoint: { folder: run, regular: true } },
        quiet,
      });
      await rm(run, { recursive: true, force: true });
      return network;
    },
  };
}
