import type { Command } from 'commander';
import { DataError } from '../errors.js';
import { type NdArray, quote, toFloat32 } from '../formats/array.js';
import { readNpy } from '../formats/npy.js';
import { type Npz, readNpz } from '../formats/npz.js';
import { looksLikeZip } from '../formats/zip.js';
import { checkWritable, readFileBytes, writeFileAtomic } from '../node/files.js';
import { type AllMetrics, allMetrics } from '../ood/metrics.js';
import { addExamples } from './options.js';

interface Arguments {
  readonly in: string;
  readonly ood: string;
  readonly json?: string;
}

export function defineMetrics(command: Command): void {
  command
    .description(
      'AUROC, AUPR and FPR95 of scores from anywhere, the higher the more in-distribution. FPR95 in four conventions: the class that is positive, and the threshold whose recall is nearest to 95 % or the first to reach it. AUPR is the sum of steps (average precision).',
    )
    .requiredOption('--in <file>', 'scores of in-distribution images: .npy, or .npz with one array')
    .requiredOption('--ood <file>', 'scores of out-of-distribution images, likewise')
    .option('--json <file>', 'write the figures as JSON, in fractions of 1 (- for standard output)')
    .action(run);
  addExamples(command, [
    ['Scores that numpy saved', 'energate metrics --in test.npy --ood svhn.npy'],
    ['For a script', 'energate metrics --in test.npy --ood svhn.npy --json - | jq .fpr95.in_positive_nearest'],
  ]);
}

async function run(args: Arguments): Promise<void> {
  if (args.json && args.json !== '-') await checkWritable(args.json, [args.in, args.ood]);
  const [inScores, oodScores] = await Promise.all([readScores(args.in), readScores(args.ood)]);
  const result = allMetrics(inScores, oodScores);
  const json = `${JSON.stringify(result, null, 2)}\n`;
  if (args.json && args.json !== '-') await writeFileAtomic(args.json, new TextEncoder().encode(json));
  if (args.json === '-') process.stdout.write(json);
  else console.log(format(result, inScores.length, oodScores.length));
}

async function readScores(path: string): Promise<Float64Array> {
  const bytes = await readFileBytes(path);
  const array = looksLikeZip(bytes) ? onlyArray(readNpz(bytes, path), path) : readNpy(bytes, path);
  const { dtype, shape, data } = array;
  if (shape.filter((size) => size !== 1).length > 1) {
    throw new DataError(`${path}: an array of [${shape.join(', ')}]; give one score an image, [N]`);
  }
  const scores = Float64Array.from(dtype === 'float16' ? toFloat32(array) : (data as ArrayLike<number>), Number);
  const nan = scores.findIndex(Number.isNaN);
  if (nan >= 0) throw new DataError(`${path}: score ${nan} is NaN, which has no rank; find out where it comes from`);
  return scores;
}

function onlyArray(file: Npz, path: string): NdArray {
  const [name, ...others] = file.names;
  if (name === undefined || others.length > 0) {
    throw new DataError(
      `${path}: ${file.names.length} arrays (${quote(file.names.join(', '))}); give a file with the scores alone`,
    );
  }
  return file.get(name);
}

function format({ auroc, aupr_in, aupr_out, fpr95 }: AllMetrics, inCount: number, oodCount: number): string {
  const rows: [string, number, string][] = [
    ['AUROC', auroc, 'ties count one half'],
    ['AUPR-in', aupr_in, 'in-distribution positive, step'],
    ['AUPR-out', aupr_out, 'OOD positive, step'],
    ['FPR95', fpr95.in_positive_nearest, 'in-distribution positive, nearest recall (the paper)'],
    ['FPR95', fpr95.in_positive_first, 'in-distribution positive, first recall of 95 %'],
    ['FPR95', fpr95.out_positive_nearest, 'OOD positive, nearest recall'],
    ['FPR95', fpr95.out_positive_first, 'OOD positive, first recall of 95 % (OpenOOD)'],
  ];
  const lines = rows.map(
    ([name, value, how]) => `${name.padEnd(8)}  ${(100 * value).toFixed(2).padStart(6)} %  ${how}`,
  );
  return [`${inCount} in-distribution and ${oodCount} out-of-distribution scores`, ...lines].join('\n');
}
