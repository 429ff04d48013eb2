import type { Images } from '../data/image-set.js';
import { requireLabels } from '../data/image-set.js';
import { UsageError } from '../errors.js';
import type { Engine } from '../gpu/engine.js';
import type { Network } from '../nn/network.js';
import { decodeFits, encodeFits, type Fits, fitScores, fittedScores, passes, scoreSets } from '../nn/scorer.js';
import { checkWritable, readFileBytes, writeFileAtomic } from '../node/files.js';
import { readImageSet } from '../node/images.js';
import { accuracy, evaluate, type NetworkEvaluation, type Protocol } from '../ood/evaluate.js';
import { findScore, SCORES, type ScoreOptions } from '../ood/scores.js';
import type { Scoring } from './options.js';
import { startProgress } from './progress.js';

/** Accuracy on a labelled set, and metrics against each out-of-distribution set, with a progress bar. */
export async function evaluateNetwork(
  engine: Engine,
  network: Network,
  sets: { readonly inDistribution: Images; readonly ood: readonly Images[] },
  options: ScoreOptions & {
    scores: readonly string[];
    protocol: Protocol;
    label: string;
    quiet?: boolean | undefined;
    fits?: Fits;
    seed?: number;
    resamples?: number;
  },
): Promise<NetworkEvaluation> {
  const { classes } = network.config;
  const labels = requireLabels(sets.inDistribution, classes);
  const all = [sets.inDistribution, ...sets.ood];
  const { scores, protocol, label, quiet, seed, resamples, ...scoring } = options;
  const images = all.reduce((sum, { count }) => sum + count, 0);
  const progress = startProgress({
    label,
    total: images * passes(scores, scoring, scoring.fits),
    unit: 'images',
    quiet,
  });
  const [inside, ...outside] = await scoreSets(engine, network, all, scores, {
    ...scoring,
    onProgress: (done) => progress.update(done),
  });
  progress.end();
  return {
    accuracy: accuracy(inside!.logits, labels, classes),
    ...evaluate({
      inDistribution: inside!.scores,
      ood: sets.ood.map(({ name }, i) => ({ name, scores: outside[i]!.scores })),
      protocol,
      ...(seed !== undefined && { seed }),
      ...(resamples !== undefined && { resamples }),
    }),
  };
}

/** What scores that learn from training images are given. */
export interface FitSource {
  readonly scores: readonly string[];
  readonly saveFit?: string | undefined;
  readonly quiet?: boolean | undefined;
  /** From a file of `--save-fit`, or nothing where no score needs any. */
  readonly fits?: Fits;
  readonly training?: Images;
}

/** @throws UsageError where an option of scores is given that none of these takes */
function requireTaken({ scores, temperature, epsilon, fit, saveFit }: Scoring): void {
  const fitted = fittedScores(Object.keys(SCORES));
  const taking = (option: keyof ScoreOptions) =>
    Object.keys(SCORES).filter((name) => SCORES[name]!.options?.includes(option));
  const options: [flag: string, value: unknown, of: readonly string[]][] = [
    ['--temperature', temperature, taking('temperature')],
    ['--epsilon', epsilon, taking('epsilon')],
    ['--save-fit', saveFit, fitted],
    ['--fit', fit, fitted],
  ];
  for (const [flag, value, of] of options) {
    if (value === undefined || scores.some((name) => of.includes(name))) continue;
    throw new UsageError(`${flag} is of ${of.join(', ')}, not of ${scores.join(', ')}: leave it out`);
  }
}

/**
 * `--fit` and `--save-fit`, read and checked as far as can be without a GPU.
 * @param inputs all files that are read, none of which `--save-fit` may name
 * @throws UsageError where a score needs `--fit` and it is missing, or does not hold that score, and where an option is given
 * that no score takes
 */
export async function readFit(
  network: Network,
  args: Scoring & { quiet?: true },
  inputs: readonly (string | undefined)[],
): Promise<FitSource> {
  const { scores, fit, saveFit, quiet } = args;
  requireTaken(args);
  const needed = fittedScores(scores);
  const isFile = fit?.endsWith('.safetensors');
  if (needed.length > 0 && !fit) {
    throw new UsageError(
      `--fit is missing: ${needed.join(', ')} learn from training images; give those, or what --save-fit wrote`,
    );
  }
  if (saveFit && (!fit || isFile)) {
    throw new UsageError('--save-fit needs training images to fit on: give them as --fit');
  }
  if (saveFit) await checkWritable(saveFit, inputs);
  const source = { scores: needed, saveFit, quiet };
  if (!fit) return { ...source, fits: new Map() };
  if (isFile) {
    const fits = decodeFits(await readFileBytes(fit), fit, network);
    const missing = needed.find((name) => !fits.has(name));
    if (missing) {
      throw new UsageError(`--fit ${fit} has no ${missing}, only ${[...fits.keys()].join(', ')}; fit again with it`);
    }
    return { ...source, fits };
  }
  const training = await readImageSet(fit, { split: 'train' });
  if (needed.some((name) => findScore(name).labelled)) requireLabels(training, network.config.classes);
  return { ...source, training };
}

/** The fits of `--fit`: those of a file, or made on training images and saved where asked. */
export async function obtainFits(engine: Engine, network: Network, source: FitSource): Promise<Fits> {
  if (source.fits) return source.fits;
  const { scores, saveFit, quiet } = source;
  const training = source.training!;
  const progress = startProgress({ label: 'fit', total: training.count, unit: 'images', quiet });
  const fits = await fitScores(engine, network, training, scores, { onProgress: (done) => progress.update(done) });
  progress.end();
  if (saveFit) await writeFileAtomic(saveFit, encodeFits(fits, network));
  return fits;
}
