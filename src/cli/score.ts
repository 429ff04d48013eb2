import { basename, extname } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../errors.js';
import { writeNpz } from '../formats/npz.js';
import type { Normalization } from '../kernels/gather-images.js';
import { Classifier } from '../nn/classifier.js';
import { decodeNetwork } from '../nn/network-file.js';
import { checkWritable, readImageSet, readStateDict, writeFileAtomic } from '../node/files.js';
import { energy, maxLogit, msp } from '../ood/scores.js';
import { openAnnouncedEngine } from './engine.js';
import { addExamples, addQuiet, normalization, positiveNumber } from './options.js';
import { startProgress } from './progress.js';

interface Arguments {
  readonly weights: string;
  readonly images: string;
  readonly temperature: number;
  readonly normalize?: Normalization;
  readonly output: string;
  readonly json?: true;
  readonly quiet?: true;
}

/** What is written, one entry an image. */
interface ScoreTable {
  readonly classes: number;
  readonly logits: Float32Array;
  readonly energy: Float64Array;
  readonly msp: Float64Array;
  readonly maxlogit: Float64Array;
  readonly label: Int32Array;
}

const ENCODERS: Readonly<Record<string, (table: ScoreTable) => Uint8Array>> = {
  '.npz': encodeNpz,
  '.csv': encodeCsv,
  '.jsonl': encodeJsonLines,
};

export function defineScore(command: Command): void {
  command
    .description(
      'Score images: logits, energy E = -T logsumexp(f / T) (low is in-distribution), largest softmax probability, largest logit, and the predicted label.',
    )
    .requiredOption('--weights <file>', 'the network: .safetensors or a PyTorch file')
    .requiredOption('--images <file>', 'images: .npz, CIFAR binary folder or .tar.gz')
    .option('--temperature <T>', 'of the energy', positiveNumber, 1)
    .option(
      '--normalize <how>',
      'cifar, none or "r,g,b/r,g,b" (default: what the weights say, else cifar)',
      normalization,
    )
    .option('--json', 'print a summary as JSON')
    .requiredOption('--output <file>', `the scores: ${Object.keys(ENCODERS).join(', ')}`);
  addQuiet(command);
  command.action(score);
  addExamples(command, [
    ['For Python', 'energate score --weights tuned.safetensors --images photos.npz --output scores.npz'],
    ['For a spreadsheet', 'energate score --weights tuned.safetensors --images photos.npz --output scores.csv'],
  ]);
}

async function score(args: Arguments): Promise<void> {
  const encode = ENCODERS[extname(args.output)];
  if (!encode)
    throw new UsageError(`--output ${args.output}: give a name that ends in ${Object.keys(ENCODERS).join(', ')}`);
  await checkWritable(args.output);
  const network = decodeNetwork(await readStateDict(args.weights), args.weights, args.normalize);
  const images = await readImageSet(args.images, { split: 'test' });
  const engine = await openAnnouncedEngine(args);
  const classifier = await Classifier.create(engine, network);
  const progress = startProgress({ label: 'score', total: images.count, unit: 'images', quiet: args.quiet });
  const { logits } = await classifier.run(images, { onProgress: (done) => progress.update(done) });
  progress.end();
  engine.destroy();

  const { classes } = network.config;
  const table: ScoreTable = {
    classes,
    logits,
    energy: energy(logits, classes, { temperature: args.temperature }),
    msp: msp(logits, classes),
    maxlogit: maxLogit(logits, classes),
    label: Int32Array.from({ length: images.count }, (_, n) => {
      const row = logits.subarray(n * classes, (n + 1) * classes);
      return row.indexOf(Math.max(...row));
    }),
  };
  await writeFileAtomic(args.output, encode(table));
  const mean = table.energy.reduce((sum, value) => sum + value, 0) / images.count;
  if (args.json)
    console.log(JSON.stringify({ output: args.output, images: images.count, classes, mean_energy: mean }, null, 2));
  else console.log(`${basename(args.output)}: ${images.count} images scored, mean energy ${mean.toFixed(3)}`);
}

function encodeNpz({ classes, logits, energy, msp, maxlogit, label }: ScoreTable): Uint8Array {
  const count = label.length;
  return writeNpz({
    logits: { dtype: 'float32', shape: [count, classes], data: logits },
    energy: { dtype: 'float64', shape: [count], data: energy },
    msp: { dtype: 'float64', shape: [count], data: msp },
    maxlogit: { dtype: 'float64', shape: [count], data: maxlogit },
    label: { dtype: 'int32', shape: [count], data: label },
  });
}

const rowOf = ({ classes, logits }: ScoreTable, n: number) => [...logits.subarray(n * classes, (n + 1) * classes)];

function encodeCsv(table: ScoreTable): Uint8Array {
  const header = [
    'label',
    'energy',
    'msp',
    'maxlogit',
    ...Array.from({ length: table.classes }, (_, k) => `logit_${k}`),
  ];
  const rows = Array.from(table.label, (label, n) =>
    [label, table.energy[n], table.msp[n], table.maxlogit[n], ...rowOf(table, n)].join(','),
  );
  return new TextEncoder().encode([header.join(','), ...rows, ''].join('\n'));
}

function encodeJsonLines(table: ScoreTable): Uint8Array {
  const rows = Array.from(table.label, (label, n) =>
    JSON.stringify({
      label,
      energy: table.energy[n],
      msp: table.msp[n],
      maxlogit: table.maxlogit[n],
      logits: rowOf(table, n),
    }),
  );
  return new TextEncoder().encode([...rows, ''].join('\n'));
}
