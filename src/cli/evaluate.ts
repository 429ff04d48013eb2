import type { Command } from 'commander';
import { requireLabels, subset } from '../data/image-set.js';
import { UsageError } from '../errors.js';
import type { Normalization } from '../kernels/gather-images.js';
import { decodeNetwork } from '../nn/network-file.js';
import { checkWritable, readStateDict, writeFileAtomic } from '../node/files.js';
import { CIFAR_PART, IMAGE_FORMATS, readImageSet } from '../node/images.js';
import { formatTable, PROTOCOLS, type Protocol } from '../ood/evaluate.js';
import { CONVENTIONS } from '../ood/metrics.js';
import { embeddedTest, embeddedWeights } from './embedded.js';
import { openAnnouncedEngine } from './engine.js';
import { evaluateNetwork, obtainFits, readFit } from './evaluation.js';
import { OOD_HELP, readOodSets, requireOodNames } from './ood-sets.js';
import {
  addExamples,
  addQuiet,
  addScoring,
  normalization,
  oodSet,
  positiveInteger,
  type Scoring,
  seed,
} from './options.js';

interface Arguments extends Scoring {
  readonly weights?: string;
  readonly in?: string;
  readonly ood?: ReadonlyMap<string, string>;
  readonly oodCount?: number;
  readonly protocol: string;
  readonly seed: number;
  readonly normalize?: Normalization;
  readonly json?: string;
  readonly quiet?: true;
}

export function defineEvaluate(command: Command): void {
  const protocols = Object.entries(PROTOCOLS).map(
    ([name, { convention, description }]) => `${name}: ${CONVENTIONS[convention].description}; ${description}`,
  );
  command
    .description(
      `Accuracy on labelled images, and FPR95, AUROC and AUPR of each score against each out-of-distribution set, with bootstrap intervals, by a named protocol:\n${protocols.join('\n')}`,
    )
    .option('--weights <file>', 'the network (default: the embedded one)')
    .option(
      '--in <file>',
      `labelled in-distribution test images: ${IMAGE_FORMATS}; ${CIFAR_PART.test} (default: the embedded set)`,
    )
    .option('--ood <name=file...>', `${OOD_HELP} (default: the embedded families)`, oodSet)
    .option('--protocol <name>', Object.keys(PROTOCOLS).join(', '), 'paper')
    .option('--ood-count <n>', 'use the first n images of each out-of-distribution set alone', positiveInteger)
    .option('--seed <n>', 'of the draws and the bootstrap', seed, 1)
    .option(
      '--normalize <how>',
      'cifar, none or "r,g,b/r,g,b" (default: what the weights say, else cifar)',
      normalization,
    )
    .option('--json <file>', 'write the result as JSON, in fractions of 1 (- for standard output)');
  addScoring(command, ['msp', 'energy']);
  addQuiet(command);
  command.action(run);
  addExamples(command, [
    ['The embedded network on the embedded families', 'energate evaluate'],
    [
      'A network of your own',
      'energate evaluate --weights tuned.safetensors --in cifar-10-binary.tar.gz --ood svhn=test_32x32.mat --ood textures=dtd/images --json result.json',
    ],
  ]);
}

function embeddedSets({ oodCount }: Arguments) {
  const { inDistribution, ood } = embeddedTest();
  return { inDistribution, ood: ood.map((set) => subset(set, 0, Math.min(set.count, oodCount ?? set.count))) };
}

async function readSets(path: string, { ood, oodCount, seed }: Arguments) {
  const inDistribution = await readImageSet(path, { split: 'test' });
  return { inDistribution, ood: await readOodSets(ood!, inDistribution, { count: oodCount, seed }) };
}

async function run(args: Arguments): Promise<void> {
  if (!Object.hasOwn(PROTOCOLS, args.protocol)) {
    throw new UsageError(`--protocol ${args.protocol} does not exist: give ${Object.keys(PROTOCOLS).join(', ')}`);
  }
  if ((args.in === undefined) !== (args.ood === undefined)) {
    throw new UsageError(
      `--${args.in ? 'ood' : 'in'} is missing: give --in and --ood, or neither for the embedded sets`,
    );
  }
  if (args.ood) requireOodNames(args.ood);
  const inputs = [args.weights, args.in, args.fit, ...(args.ood?.values() ?? [])];
  if (args.json && args.json !== '-') await checkWritable(args.json, inputs);
  const weights = args.weights ?? embeddedWeights();
  const network = decodeNetwork(await readStateDict(weights), weights, args.normalize);
  const fitSource = await readFit(network, args, inputs);
  const sets = args.in ? await readSets(args.in, args) : embeddedSets(args);
  requireLabels(sets.inDistribution, network.config.classes);
  const engine = await openAnnouncedEngine(args);
  const evaluation = await evaluateNetwork(engine, network, sets, {
    scores: args.scores,
    temperature: args.temperature,
    epsilon: args.epsilon,
    fits: await obtainFits(engine, network, fitSource),
    protocol: args.protocol as Protocol,
    seed: args.seed,
    label: 'evaluate',
    quiet: args.quiet,
  });
  engine.destroy();
  const json = `${JSON.stringify(evaluation, null, 2)}\n`;
  if (args.json && args.json !== '-') await writeFileAtomic(args.json, new TextEncoder().encode(json));
  if (args.json === '-') process.stdout.write(json);
  else console.log(formatTable(evaluation));
}
