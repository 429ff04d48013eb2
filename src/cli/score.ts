import { basename, extname } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../errors.js';
import { writeNpz } from '../formats/npz.js';
import type { Normalization } from '../kernels/gather-images.js';
import { labelsOf } from '../nn/classifier.js';
import { decodeNetwork } from '../nn/network-file.js';
import { passes, scoreSets } from '../nn/scorer.js';
import { checkWritable, readStateDict, writeFileAtomic } from '../node/files.js';
import { CIFAR_PART, IMAGE_FORMATS, readImageSet } from '../node/images.js';
import { openAnnouncedEngine } from './engine.js';
import { obtainFits, readFit } from './evaluation.js';
import { addExamples, addQuiet, addScoring, normalization, type Scoring } from './options.js';
import { startProgress } from './progress.js';

interface Arguments extends Scoring {
  readonly weights: string;
  readonly images: string;
  readonly normalize?: Normalization;
  readonly output: string;
  readonly json?: true;
  readonly quiet?: true;
}

/** What is written, one entry an image. */
interface ScoreTable {
  readonly classes: number;
  readonly logits: Float32Array;
  /** By name, `energy` as E itself. */
  readonly scores: ReadonlyMap<string, Float64Array>;
  readonly label: Int32Array;
}

const ENCODERS: Readonly<Record<string, (table: ScoreTable) => Uint8Array | Iterable<Uint8Array>>> = {
  '.npz': encodeNpz,
  '.csv': (table) => encodeLines(csvLines(table)),
  '.jsonl': (table) => encodeLines(jsonLines(table)),
};

export function defineScore(command: Command): void {
  command
    .description(
      'Score images: logits, the predicted label, and any of the scores below. All are higher for in-distribution images, but energy, which is E = -T logsumexp(f / T) itself and lower.',
    )
    .requiredOption('--weights <file>', 'the network: .safetensors or a PyTorch file')
    .requiredOption('--images <file>', `images: ${IMAGE_FORMATS}; ${CIFAR_PART.test}`)
    .option(
      '--normalize <how>',
      'cifar, none or "r,g,b/r,g,b" (default: what the weights say, else cifar)',
      normalization,
    )
    .option('--json', 'print a summary as JSON')
    .requiredOption('--output <file>', `the scores: ${Object.keys(ENCODERS).join(', ')}`);
  addScoring(command, ['energy', 'msp', 'maxlogit']);
  addQuiet(command);
  command.action(score);
  addExamples(command, [
    ['For Python', 'energate score --weights tuned.safetensors --images photos.npz --output scores.npz'],
    [
      'ODIN and Mahalanobis, fitted once',
      'energate score --weights tuned.safetensors --images photos.npz --scores odin,mahalanobis --fit train.npz --save-fit fit.safetensors --output scores.npz',
    ],
    ['For a spreadsheet', 'energate score --weights tuned.safetensors --images photos.npz --output scores.csv'],
  ]);
}

async function score(args: Arguments): Promise<void> {
  const encode = ENCODERS[extname(args.output)];
  if (!encode)
    throw new UsageError(`--output ${args.output}: give a name that ends in ${Object.keys(ENCODERS).join(', ')}`);
  const inputs = [args.weights, args.images, args.fit];
  await checkWritable(args.output, inputs);
  const network = decodeNetwork(await readStateDict(args.weights), args.weights, args.normalize);
  const fitSource = await readFit(network, args, inputs);
  const images = await readImageSet(args.images, { split: 'test' });
  const engine = await openAnnouncedEngine(args);
  const fits = await obtainFits(engine, network, fitSource);
  const { temperature, epsilon } = args;
  const total = images.count * passes(args.scores, { temperature, epsilon }, fits);
  const progress = startProgress({ label: 'score', total, unit: 'images', quiet: args.quiet });
  const [scored] = await scoreSets(engine, network, [images], args.scores, {
    ...{ temperature, epsilon, fits },
    onProgress: (done) => progress.update(done),
  });
  progress.end();
  engine.destroy();

  const { classes } = network.config;
  const { logits, scores } = scored!;
  const table: ScoreTable = {
    classes,
    logits,
    scores: new Map(
      Array.from(scores, ([name, values]) => [name, name === 'energy' ? values.map((value) => -value) : values]),
    ),
    label: labelsOf(logits, classes),
  };
  await writeFileAtomic(args.output, encode(table));
  const means = Array.from(
    table.scores,
    ([name, values]) => [name, values.reduce((sum, value) => sum + value, 0) / images.count] as const,
  );
  if (args.json) {
    const summary = Object.fromEntries(means.map(([name, mean]) => [`mean_${name}`, mean]));
    console.log(JSON.stringify({ output: args.output, images: images.count, classes, ...summary }, null, 2));
  } else {
    const text = means.map(([name, mean]) => `mean ${name} ${mean.toFixed(3)}`).join(', ');
    console.log(`${basename(args.output)}: ${images.count} images scored, ${text}`);
  }
}

function encodeNpz({ classes, logits, scores, label }: ScoreTable): Uint8Array {
  const count = label.length;
  return writeNpz({
    logits: { dtype: 'float32', shape: [count, classes], data: logits },
    ...Object.fromEntries(
      Array.from(scores, ([name, data]) => [name, { dtype: 'float64', shape: [count], data }] as const),
    ),
    label: { dtype: 'int32', shape: [count], data: label },
  });
}

const rowOf = ({ classes, logits }: ScoreTable, n: number) => [...logits.subarray(n * classes, (n + 1) * classes)];

function* csvLines(table: ScoreTable): Generator<string> {
  const logits = Array.from({ length: table.classes }, (_, k) => `logit_${k}`);
  yield ['label', ...table.scores.keys(), ...logits].join(',');
  for (const [n, label] of table.label.entries()) {
    yield [label, ...Array.from(table.scores.values(), (values) => values[n]), ...rowOf(table, n)].join(',');
  }
}

function* jsonLines(table: ScoreTable): Generator<string> {
  for (const [n, label] of table.label.entries()) {
    yield JSON.stringify({
      label,
      ...Object.fromEntries(Array.from(table.scores, ([name, values]) => [name, values[n]])),
      logits: rowOf(table, n),
    });
  }
}

/** Characters that are encoded together. */
const PIECE = 2 ** 20;

/** Lines as bytes, in pieces: all of them may be more than a string can hold. */
export function* encodeLines(lines: Iterable<string>): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  let text = '';
  for (const line of lines) {
    text += `${line}\n`;
    if (text.length < PIECE) continue;
    yield encoder.encode(text);
    text = '';
  }
  yield encoder.encode(text);
}
