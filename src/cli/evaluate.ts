import type { Command } from 'commander';
import { requireLabels, subset } from '../data/image-set.js';
import { UsageError } from '../errors.js';
import type { Normalization } from '../kernels/gather-images.js';
import { decodeNetwork } from '../nn/network-file.js';
import { checkWritable, readImageSet, readStateDict, writeFileAtomic } from '../node/files.js';
import { AVERAGE, formatTable } from '../ood/evaluate.js';
import { CONVENTIONS, type Convention } from '../ood/metrics.js';
import { SCORES } from '../ood/scores.js';
import { embeddedTest, embeddedWeights } from './embedded.js';
import { openAnnouncedEngine } from './engine.js';
import { evaluateNetwork } from './evaluation.js';
import { addExamples, addQuiet, listOf, namedPath, normalization, positiveInteger } from './options.js';

interface Arguments {
  readonly weights?: string;
  readonly in?: string;
  readonly ood?: ReadonlyMap<string, string>;
  readonly scores: readonly string[];
  readonly oodCount: number;
  readonly convention: string;
  readonly normalize?: Normalization;
  readonly json?: string;
  readonly quiet?: true;
}

export function defineEvaluate(command: Command): void {
  const conventions = Object.entries(CONVENTIONS).map(([name, { description }]) => `${name}: ${description}`);
  const scores = Object.keys(SCORES);
  command
    .description(
      `Accuracy on labelled images, and FPR95, AUROC and AUPR of each score against each out-of-distribution set.\n${conventions.join('\n')}`,
    )
    .option('--weights <file>', 'the network (default: the embedded one)')
    .option(
      '--in <file>',
      'labelled in-distribution test images: .npz, CIFAR binary folder or .tar.gz (default: the embedded set)',
    )
    .option(
      '--ood <name=file...>',
      'out-of-distribution images and what to call them (default: the embedded families)',
      namedPath,
    )
    .option('--scores <list>', `of ${scores.join(', ')}`, listOf(scores), ['msp', 'energy'])
    .option('--ood-count <n>', 'images of each out-of-distribution set, from its start', positiveInteger, 2000)
    .option('--convention <name>', `${Object.keys(CONVENTIONS).join(' or ')}`, 'paper')
    .option(
      '--normalize <how>',
      'cifar, none or "r,g,b/r,g,b" (default: what the weights say, else cifar)',
      normalization,
    )
    .option('--json <file>', 'write the result as JSON, in fractions of 1 (- for standard output)');
  addQuiet(command);
  command.action(run);
  addExamples(command, [
    ['The embedded network on the embedded families', 'energate evaluate'],
    [
      'A network of your own',
      'energate evaluate --weights tuned.safetensors --in cifar-10-binary.tar.gz --ood svhn=svhn.npz --ood textures=dtd.npz --json result.json',
    ],
  ]);
}

async function run(args: Arguments): Promise<void> {
  if (!Object.hasOwn(CONVENTIONS, args.convention)) {
    throw new UsageError(
      `--convention ${args.convention} does not exist: give ${Object.keys(CONVENTIONS).join(' or ')}`,
    );
  }
  if ((args.in === undefined) !== (args.ood === undefined)) {
    throw new UsageError(
      `--${args.in ? 'ood' : 'in'} is missing: give --in and --ood, or neither for the embedded sets`,
    );
  }
  if (args.ood?.has(AVERAGE))
    throw new UsageError(`--ood ${AVERAGE}=.. takes the name of the row of means: give the set another`);
  if (args.json && args.json !== '-') await checkWritable(args.json);
  const weights = args.weights ?? embeddedWeights();
  const network = decodeNetwork(await readStateDict(weights), weights, args.normalize);
  const sets = args.in
    ? {
        inDistribution: await readImageSet(args.in, { split: 'test' }),
        ood: await Promise.all(
          [...args.ood!].map(async ([name, path]) => ({ ...(await readImageSet(path, { split: 'test' })), name })),
        ),
      }
    : embeddedTest();
  requireLabels(sets.inDistribution, network.config.classes);
  const engine = await openAnnouncedEngine(args);
  const evaluation = await evaluateNetwork(
    engine,
    network,
    { ...sets, ood: sets.ood.map((set) => subset(set, 0, Math.min(set.count, args.oodCount))) },
    { scores: args.scores, convention: args.convention as Convention, label: 'evaluate', quiet: args.quiet },
  );
  engine.destroy();
  const json = `${JSON.stringify(evaluation, null, 2)}\n`;
  if (args.json === '-') process.stdout.write(json);
  else console.log(formatTable(evaluation));
  if (args.json && args.json !== '-') await writeFileAtomic(args.json, new TextEncoder().encode(json));
}
