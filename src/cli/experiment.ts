import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Command } from 'commander';
import { DataError, UsageError } from '../errors.js';
import type { Engine } from '../gpu/engine.js';
import type { Normalization } from '../kernels/gather-images.js';
import { parameterCount } from '../nn/network.js';
import { checkTraining } from '../nn/trainer.js';
import { checkWritable, writeFileAtomic } from '../node/files.js';
import { CIFAR_PART, IMAGE_FORMATS } from '../node/images.js';
import { PROTOCOLS, type Protocol } from '../ood/evaluate.js';
import { loadDrawing } from '../report/draw.js';
import { ROLES, type Role } from '../report/methods.js';
import { page } from '../report/page.js';
import { csv, markdown } from '../report/table.js';
import { EMBEDDED_GRID, FINETUNING } from './embedded.js';
import { openAnnouncedEngine } from './engine.js';
import type { Context, Outcome } from './experiment/context.js';
import { histograms } from './experiment/histograms.js';
import {
  type InputArguments,
  type Inputs,
  isEmbedded,
  readInputs,
  tuningData,
  validationData,
} from './experiment/inputs.js';
import { margins } from './experiment/margins.js';
import { FolderMemory } from './experiment/memory.js';
import { table1, table2 } from './experiment/tables.js';
import { temperature } from './experiment/temperature.js';
import { GRID, pairsOf } from './grid.js';
import { resumable } from './interrupt.js';
import { OOD_HELP } from './ood-sets.js';
import { addExamples, addQuiet, firstGiven, normalization, numbers, oodSet, positiveInteger, seed } from './options.js';
import { addTuningOptions, embeddedTuning, type TuningArguments, tunerOf } from './tuning.js';
import { ownVersion } from './version.js';

interface Arguments extends InputArguments, TuningArguments {
  readonly mIn?: readonly number[];
  readonly mOut?: readonly number[];
  readonly protocol: string;
  readonly seed: number;
  readonly output?: string;
  readonly json?: true;
  readonly quiet?: true;
}

interface Experiment {
  readonly summary: string;
  /** Beside the pre-trained network. */
  readonly networks: readonly Role[];
  run(engine: Engine, context: Context): Promise<Outcome>;
}

/** The paper's experiments, and what each is. */
const EXPERIMENTS: Readonly<Record<string, Experiment>> = {
  table1: {
    summary: 'softmax and energy before and after fine-tuning, set by set',
    networks: ['tuned', 'oe'],
    run: table1,
  },
  table2: {
    summary: 'these, ODIN and Mahalanobis, on average over the sets',
    networks: ['tuned', 'oe'],
    run: table2,
  },
  temperature: { summary: 'figure 4a: energy for T from 1 to 1000', networks: [], run: temperature },
  margins: { summary: 'figure 4b: energy fine-tuned with every pair of margins', networks: [], run: margins },
  histograms: {
    summary: 'figures 2 and 3: scores before and after fine-tuning',
    networks: ['tuned'],
    run: histograms,
  },
};

export function defineExperiment(command: Command): void {
  const lines = Object.entries(EXPERIMENTS).map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`);
  command
    .description(
      `Run an experiment of the paper on a network and sets of yours, and write its table (Markdown, CSV, JSON) and a report (HTML, one file) with the published figures beside it. What is done is kept in the output folder: the same command goes on after a stop. Without --weights, --in and --ood, the embedded network on the embedded images.\n\nExperiments:\n${lines.join('\n')}`,
    )
    .argument('<experiment>', Object.keys(EXPERIMENTS).join(', '))
    .option('--weights <file>', 'the pre-trained network')
    .option('--in <file>', `labelled in-distribution test images: ${IMAGE_FORMATS}; ${CIFAR_PART.test}`)
    .option('--ood <name=file...>', OOD_HELP, oodSet)
    .option('--ood-count <n>', 'use the first n images of each out-of-distribution set alone', positiveInteger)
    .option(
      '--train <file>',
      `labelled training images: Mahalanobis is fitted on them, and networks fine-tuned; ${CIFAR_PART.train}`,
    )
    .option('--outliers <file>', `outlier images to fine-tune with; ${CIFAR_PART.train}`)
    .option('--tuned <file>', 'the network fine-tuned by energy, where there is one already')
    .option('--oe-tuned <file>', 'the network fine-tuned by Outlier Exposure, likewise')
    .option(
      '--m-in <list>',
      `of fine-tuning; for margins, a list (default: -23; margins: ${GRID.mIn.join(',')}; embedded: ${FINETUNING.mIn}; ${EMBEDDED_GRID.mIn.join(',')})`,
      numbers,
    )
    .option(
      '--m-out <list>',
      `likewise (default: -5; margins: ${GRID.mOut.join(',')}; embedded: ${FINETUNING.mOut}; ${EMBEDDED_GRID.mOut.join(',')})`,
      numbers,
    );
  addTuningOptions(command)
    .option('--protocol <name>', Object.keys(PROTOCOLS).join(', '), 'paper')
    .option('--seed <n>', 'of draws, bootstrap and fine-tuning', seed, 1)
    .option(
      '--normalize <how>',
      'cifar, none or "r,g,b/r,g,b" (default: what the weights say, else cifar)',
      normalization,
    )
    .option('--output <folder>', 'takes the files, and a folder cache (default: experiment-NAME)')
    .option('--json', 'print the figures as JSON');
  addQuiet(command);
  command.action((name: string, args: Arguments) => resumable((signal) => experiment(name, args, command, signal)));
  addExamples(command, [
    ['See it work, with nothing at hand', 'energate experiment table1'],
    [
      'Table 2 of a network of your own',
      'energate experiment table2 --weights net.pt --in cifar-10-binary.tar.gz --train cifar-10-binary.tar.gz --ood svhn=test_32x32.mat --ood textures=dtd/images',
    ],
    [
      'Figure 4b, fine-tuning nine times',
      'energate experiment margins --weights net.pt --in test.npz --ood svhn=svhn.npz --train train.npz --outliers 300k.npy --m-in -27,-23,-19 --m-out -7,-5,-3',
    ],
  ]);
}

async function experiment(name: string, given: Arguments, command: Command, signal: AbortSignal): Promise<void> {
  const chosen = EXPERIMENTS[name];
  if (!Object.hasOwn(EXPERIMENTS, name) || !chosen) {
    throw new UsageError(`experiment ${name} does not exist: give ${Object.keys(EXPERIMENTS).join(', ')}`);
  }
  if (!Object.hasOwn(PROTOCOLS, given.protocol)) {
    throw new UsageError(`--protocol ${given.protocol} does not exist: give ${Object.keys(PROTOCOLS).join(', ')}`);
  }
  const embedded = isEmbedded(given);
  const args = embedded ? embeddedTuning(given, command) : given;
  const grid = gridOf(name, args, embedded);
  const unused = fineTunes(name, givenRoles(args)) ? undefined : firstGiven(command, TUNING_OPTIONS);
  if (unused) throw new UsageError(`${unused} is of fine-tuning, which is not done here: leave it out`);
  const draw = await loadDrawing();
  const folder = args.output ?? `experiment-${name}`;
  await makeFolder(folder);
  const path = (extension: string) => join(folder, `${name}.${extension}`);
  const read = [args.weights, args.tuned, args.oeTuned, args.in, args.train, args.outliers];
  for (const extension of EXTENSIONS) await checkWritable(path(extension), read);

  const inputs = await readInputs(args);
  const memory = new FolderMemory(join(folder, 'cache'));
  const context = await contextOf(name, inputs, args, { memory, grid, signal });
  const engine = await openAnnouncedEngine(args);
  const outcome = await chosen.run(engine, context);
  const adapter = engine.adapter.description;
  engine.destroy();

  const { table } = outcome.report;
  const { json, facts } = await provenance(name, outcome, context, adapter, command);
  const files: Record<(typeof EXTENSIONS)[number], string> = {
    json: `${JSON.stringify(json, null, 2)}\n`,
    csv: csv(outcome.rows),
    md: `# ${outcome.report.title}\n\n${[markdown(table), ...outcome.report.notes].join('\n\n')}\n`,
    html: await page({ ...outcome.report, facts }, draw),
  };
  for (const extension of EXTENSIONS)
    await writeFileAtomic(path(extension), new TextEncoder().encode(files[extension]));
  if (args.json) process.stdout.write(files.json);
  else console.log(`${[markdown(table), ...outcome.report.notes].join('\n\n')}\n\n${path('html')}: the report`);
}

/** Options of fine-tuning alone. */
const TUNING_OPTIONS = ['mIn', 'mOut', 'epochs', 'steps', 'batch', 'outlierBatch', 'lr', 'dropout'];

const EXTENSIONS = ['json', 'csv', 'md', 'html'] as const;

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    const reason = error.code === 'EEXIST' ? 'a file has that name' : error.message;
    throw new DataError(`cannot make the folder ${folder}: ${reason}; give another --output`);
  });
}

/** @throws UsageError where a pair is the wrong way round, or a list is given where one pair is needed */
function gridOf(name: string, { mIn, mOut }: Arguments, embedded: boolean): Context['grid'] {
  const one = { mIn: [embedded ? FINETUNING.mIn : -23], mOut: [embedded ? FINETUNING.mOut : -5] };
  const defaults = name !== 'margins' ? one : embedded ? EMBEDDED_GRID : GRID;
  const grid = { mIn: mIn ?? defaults.mIn, mOut: mOut ?? defaults.mOut };
  const pairs = pairsOf(grid.mIn, grid.mOut);
  if (name !== 'margins' && pairs.length > 1) {
    throw new UsageError(`${name} fine-tunes with one pair of margins: give one --m-in and one --m-out`);
  }
  return grid;
}

/** Whether networks have to be fine-tuned for it that are not given. */
const fineTunes = (name: string, given: { has(role: Role): boolean }): boolean =>
  name === 'margins' || EXPERIMENTS[name]!.networks.some((role) => !given.has(role));

/** The networks that are given. */
const givenRoles = ({ tuned, oeTuned }: Arguments): ReadonlySet<Role> =>
  new Set<Role>([...(tuned ? (['tuned'] as const) : []), ...(oeTuned ? (['oe'] as const) : [])]);

async function contextOf(
  name: string,
  inputs: Inputs,
  args: Arguments,
  { memory, grid, signal }: Pick<Context, 'memory' | 'grid' | 'signal'>,
): Promise<Context> {
  const { quiet, protocol, seed } = args;
  const validation = name === 'margins' ? await validationData(inputs, seed) : undefined;
  if (name === 'margins' && !validation) {
    throw new UsageError('margins fine-tunes with each pair: give --train and --outliers');
  }
  const base = inputs.networks.get('base')!;
  const data = validation?.data ?? tuningData(inputs);
  const tuner = data && (await tunerOf(base, data, args, { folder: memory.folder, quiet }));
  const pair = { mIn: grid.mIn[0]!, mOut: grid.mOut[0]! };
  if (data && tuner && fineTunes(name, inputs.networks)) {
    checkTraining(base, data, { ...tuner.options, regulariser: { kind: 'energy', ...pair, lambda: 0 } });
  }
  return {
    ...{ inputs, memory, tuner, margins: pair, grid, validation: validation?.validation },
    ...{ protocol: protocol as Protocol, seed, signal, quiet },
  };
}

/** The outcome's JSON, and the facts of the report, with all that the figures depend on. */
async function provenance(
  name: string,
  { json }: Outcome,
  { inputs, memory, tuner, margins, seed }: Context,
  adapter: string,
  command: Command,
) {
  const sets = await Promise.all(
    [inputs.inDistribution, ...inputs.ood].map(async (set) => ({
      name: set.name,
      images: set.count,
      sha256: (await memory.fingerprintOf(set)).slice(0, 16),
    })),
  );
  const networks = await Promise.all(
    Array.from(inputs.networks, async ([role, network]) => ({
      role,
      network,
      fingerprint: await memory.fingerprintOf(network),
    })),
  );
  const { depth, width, classes } = inputs.networks.get('base')!.config;
  const wrn = `WRN-${depth}-${width}, ${classes} classes, ${parameterCount(inputs.networks.get('base')!.config)} parameters`;
  const { steps, batch, outlierBatch, learningRate, dropout } = tuner?.options ?? {};
  const wasTuned = tuner && fineTunes(name, inputs.networks);
  const tuning = `${steps} steps of ${batch} labelled and ${outlierBatch} outlier images, learning rate ${learningRate}, dropout ${dropout}${name === 'margins' ? '' : `, margins ${margins.mIn} and ${margins.mOut}`}`;
  const facts: [string, string][] = [
    ['Command', commandLine(name, command)],
    ['Network', wrn],
    ...networks.map(({ role, fingerprint }): [string, string] => [
      `Weights, ${ROLES[role as Role]}`,
      `sha256 ${fingerprint}`,
    ]),
    ...(wasTuned ? [['Fine-tuned here', tuning] as [string, string]] : []),
    ...sets.map(({ name, images, sha256 }, i): [string, string] => [
      i === 0 ? 'In-distribution' : 'Out-of-distribution',
      `${name}: ${images} images, sha256 ${sha256}`,
    ]),
    ['Seed', String(seed)],
    ['Adapter', adapter],
    ['energate', ownVersion()],
  ];
  return {
    json: {
      experiment: name,
      energate: ownVersion(),
      adapter,
      seed,
      network: { depth, width, classes },
      weights: Object.fromEntries(networks.map(({ role, fingerprint }) => [role, fingerprint])),
      ...(wasTuned && { tuning: { ...tuner.options, ...(name === 'margins' ? {} : margins) } }),
      in_distribution: sets[0],
      out_of_distribution: sets.slice(1),
      ...json,
    },
    facts,
  };
}

/** The value of an option as it would be given, without the folder of a file. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return basename(value);
  const { mean, std } = value as Normalization;
  return mean ? `${mean}/${std}` : String(value);
}

/** The command as it was given, without the folders of its files. */
function commandLine(name: string, command: Command): string {
  const given = command.options.filter((option) => command.getOptionValueSource(option.attributeName()) === 'cli');
  const words = given.flatMap((option) => {
    const value: unknown = command.getOptionValue(option.attributeName());
    if (value === true) return [option.long!];
    if (value instanceof Map) {
      return Array.from(value, ([set, path]) => `${option.long} ${set}${path === '' ? '' : `=${basename(path)}`}`);
    }
    return [option.long!, textOf(value)];
  });
  return ['energate experiment', name, ...words].join(' ');
}
