import { basename } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../errors.js';
import { calibrateGate } from '../gate/calibrate.js';
import { atPrecision, calibratorsOf, type Gate, type Precision } from '../gate/gate.js';
import { encodeGate } from '../gate/gate-file.js';
import type { Normalization } from '../kernels/gather-images.js';
import { decodeNetwork } from '../nn/network-file.js';
import { passes } from '../nn/scorer.js';
import { checkWritable, readStateDict, writeFileAtomic } from '../node/files.js';
import { CIFAR_PART, IMAGE_FORMATS, readImageSet } from '../node/images.js';
import { Calibrator, formatPercent } from '../ood/calibrator.js';
import { findScore } from '../ood/scores.js';
import { embeddedValidation, embeddedWeights } from './embedded.js';
import { openAnnouncedEngine } from './engine.js';
import { obtainFits, readFit } from './evaluation.js';
import { addExamples, addQuiet, addScoreOptions, fraction, normalization, type ScoreArguments } from './options.js';
import { startProgress } from './progress.js';

interface Arguments extends ScoreArguments {
  readonly weights?: string;
  readonly in?: string;
  readonly accept: number;
  readonly score: string;
  readonly perClass?: true;
  readonly precision: string;
  readonly normalize?: Normalization;
  readonly output: string;
  readonly json?: true;
  readonly quiet?: true;
}

/** How many images to come are predicted for: what a user would count. */
const FURTHER = 1000;

const PRECISIONS: readonly string[] = ['float32', 'float16'] satisfies Precision[];

export function defineCalibrate(command: Command): void {
  command
    .description(
      'Choose the threshold of a score, so that it accepts a given fraction of in-distribution images, and write it with the network as one file, the gate: what "energate check" and Detector.load take.\nWithout --weights and --in, the embedded network on embedded images.',
    )
    .option('--weights <file>', 'the network: .safetensors or a PyTorch file')
    .option(
      '--in <file>',
      `in-distribution images that the network was not trained on: ${IMAGE_FORMATS}; ${CIFAR_PART.test}`,
    )
    .option('--accept <fraction>', 'of in-distribution images, how many are to be accepted', fraction, 0.95)
    .option('--score <name>', 'what decides, one of the scores below', 'energy')
    .option('--per-class', 'a threshold for each class that the network may name, instead of one for all')
    .option('--precision <type>', `of the weights in the file: ${PRECISIONS.join(', ')}`, PRECISIONS[0])
    .option(
      '--normalize <how>',
      'cifar, none or "r,g,b/r,g,b" (default: what the weights say, else cifar)',
      normalization,
    )
    .option('--json', 'print the thresholds and their bounds as JSON')
    .requiredOption('--output <file>', 'the gate');
  addScoreOptions(command);
  addQuiet(command);
  command.action(run);
  addExamples(command, [
    ['The network that comes with energate, to try it', 'energate calibrate --output gate.energate'],
    [
      'By energy, with CIFAR-10’s test images',
      'energate calibrate --weights tuned.safetensors --in cifar-10-binary.tar.gz --output gate.energate',
    ],
    [
      'By Mahalanobis distance, a threshold a class, half the size',
      'energate calibrate --weights tuned.safetensors --in val.npz --score mahalanobis --fit train.npz --per-class --precision float16 --output gate.energate',
    ],
  ]);
}

async function run(args: Arguments): Promise<void> {
  if (!PRECISIONS.includes(args.precision)) {
    throw new UsageError(`--precision ${args.precision} does not exist: give ${PRECISIONS.join(' or ')}`);
  }
  if ((args.weights === undefined) !== (args.in === undefined)) {
    throw new UsageError(
      `--${args.weights === undefined ? 'weights' : 'in'} missing: give --weights and --in, or neither for the embedded network`,
    );
  }
  findScore(args.score);
  const inputs = [args.weights, args.in, args.fit];
  await checkWritable(args.output, inputs);
  const { accept, score, temperature, epsilon, perClass, quiet } = args;
  const precision = args.precision as Precision;
  // Rounded before anything is measured with it.
  const weights = args.weights ?? embeddedWeights();
  const network = atPrecision(decodeNetwork(await readStateDict(weights), weights, args.normalize), precision);
  const fitSource = await readFit(network, { ...args, scores: [score] }, inputs);
  const images = args.in === undefined ? embeddedValidation() : await readImageSet(args.in, { split: 'test' });
  // Refused here rather than after the work, where there are too few.
  new Calibrator(new Float64Array(images.count), { accept });
  const engine = await openAnnouncedEngine(args);
  const fits = await obtainFits(engine, network, fitSource);
  const total = images.count * passes([score], { temperature, epsilon }, fits);
  const progress = startProgress({ label: 'calibrate', total, unit: 'images', quiet });
  const gate = await calibrateGate(engine, network, images, {
    ...{ accept, score, temperature, epsilon, fits, perClass, precision },
    onProgress: (done) => progress.update(done),
  });
  progress.end();
  engine.destroy();
  await writeFileAtomic(args.output, await encodeGate(gate));
  console.log(args.json ? JSON.stringify(summary(args.output, gate), null, 2) : report(args.output, gate));
}

function summary(output: string, gate: Gate) {
  const { classNames } = gate.network;
  return {
    output,
    ...{ score: gate.score, accept: gate.accept, n: gate.calibration.scores.length },
    thresholds: calibratorsOf(gate, gate.accept).map((calibrator, k) => {
      const { lower, upper } = calibrator.bounds();
      return {
        ...(gate.calibration.labels && { label: k, ...(classNames && { class: classNames[k] }) }),
        ...{ n: calibrator.scores.length, threshold: calibrator.threshold, acceptance_bounds_95: [lower, upper] },
      };
    }),
  };
}

function report(output: string, gate: Gate): string {
  const { network, score, accept, calibration } = gate;
  const calibrators = calibratorsOf(gate, accept);
  const rule = (calibrator: Calibrator) =>
    score === 'energy'
      ? `energy at most ${show(-calibrator.threshold)}`
      : `${score} at least ${show(calibrator.threshold)}`;
  const bounds = (calibrator: Calibrator) => {
    const { lower, upper } = calibrator.bounds();
    return `${formatPercent(lower)} to ${formatPercent(upper)}`;
  };
  const first = `${basename(output)}: calibrated on ${calibration.scores.length} images to accept ${formatPercent(accept)} of those like them`;
  if (!calibration.labels) {
    const further = calibrators[0].predict(FURTHER);
    return [
      first,
      `  accepts ${rule(calibrators[0])}`,
      `  the true rate is ${bounds(calibrators[0])}, with 95 % confidence`,
      `  of ${FURTHER} further ones it will accept ${formatPercent(further.lower)} to ${formatPercent(further.upper)}, likewise`,
    ].join('\n');
  }
  const names = calibrators.map((_, k) => network.classNames?.[k] ?? `class ${k}`);
  const width = Math.max(...names.map((name) => name.length));
  const lines = calibrators.map((calibrator, k) => {
    const images = `${calibrator.scores.length} images`.padEnd(13);
    return `  ${names[k]!.padEnd(width)}  ${images}  accepts ${rule(calibrator)}, truly ${bounds(calibrator)}`;
  });
  return [`${first}, a threshold a class (true rates with 95 % confidence each)`, ...lines].join('\n');
}

const show = (value: number) => String(Number(value.toPrecision(5)));
