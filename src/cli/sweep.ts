import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { requireLabels } from '../data/image-set.js';
import { UsageError } from '../errors.js';
import type { Normalization } from '../kernels/gather-images.js';
import { decodeNetwork, encodeNetwork } from '../nn/network-file.js';
import { checkTraining } from '../nn/trainer.js';
import { checkWritable, readStateDict, writeFileAtomic } from '../node/files.js';
import { CIFAR_PART, IMAGE_FORMATS, readImageSet } from '../node/images.js';
import { CONVENTIONS } from '../ood/metrics.js';
import { csv, markdown, percent, type Table } from '../report/table.js';
import { EMBEDDED_GRID, embeddedFinetuning, embeddedValidation, embeddedWeights } from './embedded.js';
import { openAnnouncedEngine } from './engine.js';
import { FolderMemory } from './experiment/memory.js';
import { best, CHOICE, GRID, holdOut, type PairResult, pairsOf, runGrid, validationOf } from './grid.js';
import { resumable } from './interrupt.js';
import { addExamples, addQuiet, normalization, numbers, seed } from './options.js';
import { addTuningOptions, embeddedTuning, type TuningArguments, tunerOf } from './tuning.js';

interface Arguments extends TuningArguments {
  readonly weights?: string;
  readonly in?: string;
  readonly outliers?: string;
  readonly mIn?: readonly number[];
  readonly mOut?: readonly number[];
  readonly normalize?: Normalization;
  readonly output: string;
  readonly json?: true;
  readonly quiet?: true;
}

export function defineSweep(command: Command): void {
  command
    .description(
      `Choose the margins of the energy loss: fine-tune with every pair of a grid, evaluate on validation outliers of eight kinds that are made from held-out in-distribution images (never on a test set), and take ${CHOICE}. Pairs that are done are kept in the output folder and not done again; the same command goes on after a stop.\nWithout --weights, --in and --outliers, the embedded network on the embedded images.`,
    )
    .option('--weights <file>', 'the network: .safetensors or a PyTorch file')
    .option(
      '--in <file>',
      `labelled in-distribution images, a tenth of which is held out: ${IMAGE_FORMATS}; ${CIFAR_PART.train}`,
    )
    .option('--outliers <file>', 'outlier images, likewise')
    .option(
      '--m-in <list>',
      `values of m_in (default: ${GRID.mIn.join(',')}; embedded: ${EMBEDDED_GRID.mIn.join(',')})`,
      numbers,
    )
    .option(
      '--m-out <list>',
      `values of m_out (default: ${GRID.mOut.join(',')}; embedded: ${EMBEDDED_GRID.mOut.join(',')})`,
      numbers,
    )
    .option(
      '--normalize <how>',
      'cifar, none or "r,g,b/r,g,b" (default: what the weights say, else cifar)',
      normalization,
    )
    .option('--output <folder>', 'takes sweep.md, sweep.csv, sweep.json and best.safetensors', 'sweep');
  addTuningOptions(command)
    .option('--seed <n>', 'of data order, augmentation, dropout, what is held out and the outliers made of it', seed, 1)
    .option('--json', 'print the result as JSON');
  addQuiet(command);
  command.action((args: Arguments) => resumable((signal) => sweep(args, command, signal)));
  addExamples(command, [
    ['See it work, with nothing at hand', 'energate sweep'],
    [
      'Six pairs for CIFAR-10',
      'energate sweep --weights cifar10.pt --in cifar-10-binary.tar.gz --outliers 300k.npy --m-in=-27,-23,-19 --m-out=-7,-5',
    ],
  ]);
}

async function sweep(given: Arguments, command: Command, signal: AbortSignal): Promise<void> {
  const missing = (['weights', 'in', 'outliers'] as const).filter((name) => given[name] === undefined);
  if (missing.length === 1 || missing.length === 2) {
    throw new UsageError(
      `${missing.map((name) => `--${name}`).join(' and ')} missing: give --weights, --in and --outliers, or none of them for the embedded run`,
    );
  }
  const embedded = missing.length === 3;
  const args = embedded ? embeddedTuning(given, command) : given;
  const grid = embedded ? EMBEDDED_GRID : GRID;
  const pairs = pairsOf(args.mIn ?? grid.mIn, args.mOut ?? grid.mOut);
  await mkdir(args.output, { recursive: true }).catch(() => {});
  const path = (name: string) => join(args.output, name);
  for (const name of FILES) await checkWritable(path(name), [args.weights, args.in, args.outliers]);
  const weights = args.weights ?? embeddedWeights();
  const base = decodeNetwork(await readStateDict(weights), weights, args.normalize);
  const { data, held } = await readData(args, embedded);
  requireLabels(held, base.config.classes);
  const { quiet } = args;
  const memory = new FolderMemory(path('cache'));
  const tuner = await tunerOf(base, data, args, { folder: memory.folder, quiet });
  checkTraining(base, data, { ...tuner.options, regulariser: { kind: 'energy', ...pairs[0]!, lambda: 0 } });

  const engine = await openAnnouncedEngine(args);
  const networks: Uint8Array[] = [];
  const results = await runGrid(engine, tuner, pairs, await validationOf(held, args.seed), {
    memory,
    signal,
    onPair: (_, network) => void networks.push(encodeNetwork(network)),
  });
  engine.destroy();

  const chosen = best(results);
  const table = tableOf(results, chosen, held.count);
  const { mIn, mOut } = results[chosen]!;
  const json = `${JSON.stringify({ best: { mIn, mOut }, choice: CHOICE, convention: 'paper', options: tuner.options, results }, null, 2)}\n`;
  const rows = results.map(({ families, ...row }) => ({ ...row, ...families }));
  const text = (content: string) => new TextEncoder().encode(content);
  const files: Record<(typeof FILES)[number], Uint8Array> = {
    'sweep.md': text(`${markdown(table)}\n`),
    'sweep.csv': text(csv(rows)),
    'sweep.json': text(json),
    'best.safetensors': networks[chosen]!,
  };
  for (const name of FILES) await writeFileAtomic(path(name), files[name]);
  if (args.json) process.stdout.write(json);
  else console.log(`${markdown(table)}\n\n${path('best.safetensors')}: m_in ${mIn}, m_out ${mOut}: ${CHOICE}`);
}

/** What a sweep writes into its folder. */
const FILES = ['sweep.md', 'sweep.csv', 'sweep.json', 'best.safetensors'] as const;

async function readData(args: Arguments, embedded: boolean) {
  if (embedded) return { data: embeddedFinetuning(), held: embeddedValidation() };
  const { held, rest } = await holdOut(await readImageSet(args.in!), args.seed);
  return { data: { inDistribution: rest, outliers: await readImageSet(args.outliers!) }, held };
}

/** A row a pair. */
export function tableOf(results: readonly PairResult[], chosen: number, images: number): Table {
  return {
    caption: `Energy on ${images} held-out in-distribution images against a fifth as many of each of eight families of validation outliers, %; ${CONVENTIONS.paper.description}.`,
    head: [
      'm_in',
      'm_out',
      'FPR95, mean',
      'AUROC, mean',
      'accuracy',
      ...Object.keys(results[0]!.families).map((name) => `FPR95 ${name}`),
    ],
    rows: results.map(({ mIn, mOut, fpr95, auroc, accuracy, families }, i) =>
      [String(mIn), String(mOut), ...[fpr95, auroc, accuracy, ...Object.values(families)].map(percent)].map(
        (text, column) => ({
          text,
          best: i === chosen && column < 3,
        }),
      ),
    ),
  };
}
