import { type Images, piecesOf, requireLabels } from '../data/image-set.js';
import { DataError, UsageError } from '../errors.js';
import { type NdArray, quote } from '../formats/array.js';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.js';
import type { Engine } from '../gpu/engine.js';
import type { Computer, Reduction } from '../ood/rows.js';
import {
  checkScoreState,
  type FitInput,
  findScore,
  finishRows,
  type Head,
  type Perturbation,
  type Score,
  type ScoreOptions,
  type ScoreSettings,
  type ScoreState,
  type Scoring,
  scoreArrays,
  sizesOf,
  trainingSizes,
} from '../ood/scores.js';
import { Classifier, type Outputs } from './classifier.js';
import { featuresOf, type Network } from './network.js';
import { RowProgram } from './row-program.js';

/** What each fitted score learned, by the score's name. */
export type Fits = ReadonlyMap<string, ScoreState>;

/** An image set's logits and scores. */
export interface SetScores extends Pick<Outputs, 'logits'> {
  /** By name, N each, the higher the more in-distribution. */
  readonly scores: ReadonlyMap<string, Float64Array>;
}

/** Keeps what a network said, so that it is not asked again. */
export interface OutputMemory {
  get(network: Network, set: Images, perturbation: Perturbation | undefined): Promise<Outputs | undefined>;
  put(network: Network, set: Images, perturbation: Perturbation | undefined, outputs: Outputs): Promise<void>;
}

interface Progress {
  memory?: OutputMemory | undefined;
  /** Gets the number of images the network has been asked about. */
  onProgress?: ((done: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

interface ScoringOptions extends Progress {
  fits?: Fits | undefined;
  onArrays?: boolean;
}

/** Those of the scores that have to be fitted on training images before they can be computed. */
export const fittedScores = (names: readonly string[]): string[] => names.filter((name) => findScore(name).fit);

/** How often {@link scoreSets} asks the network about each image. */
export function passes(names: readonly string[], options: ScoreOptions, fits: Fits = new Map()): number {
  return 1 + names.filter((name) => perturbationOf(name, options, fits)).length;
}

/**
 * Fit scores on training images: the network in evaluation mode, the images not augmented.
 * @param names of scores; those that need no fit are passed over
 * @throws DataError where a score needs labels and there are none, or a class without images
 */
export async function fitScores(
  engine: Engine,
  network: Network,
  training: Images,
  names: readonly string[],
  options: Progress = {},
): Promise<Fits> {
  const { classes } = network.config;
  const labels = training.labels && requireLabels(training, classes);
  const asked = new Asked(engine, network, options);
  const outputs = await asked.about(training).finally(() => asked.destroy());
  const input: FitInput = { ...outputs, classes, labels, head: headOf(network) };
  const shape = { ...trainingSizes(input), classes };
  const compute = (how: 'each' | 'sum') => async (reduction: Reduction) => {
    const program = await RowProgram.compile(engine, shape, reduction);
    return program[how]({ ...outputs, labels }, options.signal).finally(() => program.destroy());
  };
  const on: Computer = { each: compute('each'), sum: compute('sum') };
  const fits = new Map<string, ScoreState>();
  for (const name of fittedScores(names)) fits.set(name, await findScore(name).fit!(input, on));
  return fits;
}

/**
 * Scores of image sets. The network is asked once about every image, and once more for each score with an input step.
 * @param names of scores in `SCORES`
 * @param options.temperature, options.epsilon as the scores take them; each has a default of its own
 * @param options.fits from {@link fitScores}, for the scores that need one
 * @param options.onArrays score in float64 on the CPU, to the bit as `Detector` does, and not on the GPU
 * @returns one entry a set, in order
 * @throws UsageError for a score that does not exist, or was to be fitted and is not
 */
export function scoreSets(
  engine: Engine,
  network: Network,
  sets: readonly Images[],
  names: readonly string[],
  options: ScoreOptions & ScoringOptions = {},
): Promise<SetScores[]> {
  const { temperature, epsilon, ...rest } = options;
  const variants = new Map(names.map((score) => [score, { score, temperature, epsilon }]));
  return scoreVariants(engine, network, sets, variants, rest);
}

/**
 * As {@link scoreSets}, of scores with options of their own, so that one score may be there several times over.
 * @param variants by the name that the scores get in what is returned
 */
export async function scoreVariants(
  engine: Engine,
  network: Network,
  sets: readonly Images[],
  variants: ReadonlyMap<string, ScoreOptions & { readonly score: string }>,
  options: ScoringOptions = {},
): Promise<SetScores[]> {
  const { fits = new Map<string, ScoreState>(), onArrays, onProgress, signal, memory } = options;
  const missing = fittedScores(Array.from(variants.values(), ({ score }) => score)).find((name) => !fits.has(name));
  if (missing) throw new UsageError(`${missing} must be fitted on training images first`);
  const { classes } = network.config;
  const perturbations = new Map(
    Array.from(variants, ([name, variant]) => [name, perturbationOf(variant.score, variant, fits)]),
  );
  const asked = new Asked(engine, network, { onProgress, signal, memory });
  const count = Math.max(1, ...sets.map((set) => set.count));
  const shape = { count, classes, size: featuresOf(network.config) };
  const scorers = new Map<string, Scorer>();
  const scoreSet = async (set: Images): Promise<SetScores> => {
    const logits = new Float32Array(set.count * classes);
    const scores = new Map(Array.from(variants.keys(), (name) => [name, new Float64Array(set.count)]));
    let start = 0;
    for (const piece of knownPieces(set)) {
      const plain = await asked.about(piece);
      logits.set(plain.logits, start * classes);
      for (const [name, perturbation] of perturbations) {
        const outputs = perturbation ? await asked.about(piece, perturbation) : plain;
        scores.get(name)!.set(await scorers.get(name)!.score(outputs, signal), start);
      }
      start += piece.count;
    }
    return { logits, scores };
  };
  try {
    for (const [name, variant] of variants) {
      const settings = { ...variant, classes, head: headOf(network), state: fits.get(variant.score) };
      const score = findScore(variant.score);
      scorers.set(name, onArrays ? arrayScorer(score, settings) : await deviceScorer(engine, shape, score, settings));
    }
    const results: SetScores[] = [];
    for (const set of sets) results.push(await scoreSet(set));
    return results;
  } finally {
    for (const scorer of scorers.values()) scorer.destroy();
    asked.destroy();
  }
}

/** A score of what a network said of images. */
interface Scorer {
  score(outputs: Outputs, signal: AbortSignal | undefined): Promise<Float64Array>;
  destroy(): void;
}

const arrayScorer = (score: Score, settings: ScoreSettings): Scorer => ({
  score: async (outputs) => scoreArrays(score, { ...outputs, ...settings }),
  destroy: () => {},
});

async function deviceScorer(
  engine: Engine,
  shape: { count: number; classes: number; size: number },
  score: Score,
  settings: ScoreSettings,
): Promise<Scorer> {
  let scoring: Scoring;
  const program = await RowProgram.compile(engine, shape, (images) => {
    scoring = score.score(images, settings);
    return scoring.numbers;
  });
  return {
    async score(outputs, signal) {
      const { count } = sizesOf({ ...outputs, ...settings });
      return finishRows(count, await program.each(outputs, signal), scoring.finish);
    },
    destroy: () => program.destroy(),
  };
}

/** Images whose features are in memory at once: 34 MB of 128 each. */
const PIECE = 65_536;

/** The pieces of a set are the same objects each time, so that a memory that knows what it has read need not read it again. */
const pieces = new WeakMap<Images, Images[]>();

function knownPieces(set: Images): Images[] {
  const known = pieces.get(set) ?? piecesOf(set, PIECE);
  pieces.set(set, known);
  return known;
}

const FIT_FORMAT = 'energate-fit';
const FIT_VERSION = '1';

/** Fits as a safetensors file: each score's arrays as `score.array`. */
export function encodeFits(fits: Fits, { config }: Network): Uint8Array {
  const tensors = new Map<string, NdArray>();
  for (const [name, state] of fits) {
    for (const [key, array] of Object.entries(state)) tensors.set(`${name}.${key}`, array);
  }
  return writeSafetensors(tensors, {
    format: FIT_FORMAT,
    version: FIT_VERSION,
    scores: [...fits.keys()].join(','),
    features: String(featuresOf(config)),
    classes: String(config.classes),
  });
}

/**
 * What {@link encodeFits} wrote, for a network of the same size.
 * @throws DataError where it is no such file, or was made for another network
 */
export function decodeFits(bytes: Uint8Array, source: string, { config }: Network): Fits {
  const { tensors, metadata } = readSafetensors(bytes, source);
  if (metadata.format !== FIT_FORMAT || metadata.version !== FIT_VERSION) {
    throw new DataError(`${source} is not a fit of version ${FIT_VERSION}; make one with energate score --save-fit`);
  }
  const [features, classes] = [featuresOf(config), config.classes];
  if (metadata.features !== String(features) || metadata.classes !== String(classes)) {
    throw new DataError(
      `${source} was fitted for ${quote(metadata.features ?? '')} features and ${quote(metadata.classes ?? '')} classes, but the network has ${features} and ${classes}; fit again`,
    );
  }
  const fits = new Map<string, Record<string, NdArray>>();
  for (const name of (metadata.scores ?? '').split(',').filter(Boolean)) fits.set(name, {});
  for (const [key, array] of tensors) {
    const at = key.indexOf('.');
    const state = fits.get(key.slice(0, at));
    if (!state) throw new DataError(`${source} holds ${key}, which is of no score it names; make it again`);
    state[key.slice(at + 1)] = array;
  }
  for (const [name, state] of fits) {
    checkScoreState(name, findScore(name), state, { size: features, classes }, source);
  }
  return fits;
}

function perturbationOf(name: string, options: ScoreOptions, fits: Fits): Perturbation | undefined {
  return findScore(name).perturbation?.(options, fits.get(name));
}

function headOf({ state }: Network): Head {
  return { weight: state.get('fc.weight')!.data, bias: state.get('fc.bias')!.data };
}

/** A network that is asked about images, once and with input steps: where it is not remembered what it said. */
class Asked {
  private readonly engine: Engine;
  private readonly network: Network;
  private readonly options: Progress;
  /** By the size of their images. */
  private readonly classifiers = new Map<string, Map<Perturbation | undefined, Classifier>>();
  private done = 0;

  constructor(engine: Engine, network: Network, options: Progress) {
    this.engine = engine;
    this.network = network;
    this.options = options;
  }

  async about(images: Images, perturbation?: Perturbation): Promise<Outputs> {
    const { engine, network } = this;
    const { onProgress, signal, memory } = this.options;
    let outputs = await memory?.get(network, images, perturbation);
    if (!outputs) {
      const { height, width } = images;
      const size = `${height} x ${width}`;
      const known = this.classifiers.get(size) ?? new Map<Perturbation | undefined, Classifier>();
      this.classifiers.set(size, known);
      const classifier =
        known.get(perturbation) ?? (await Classifier.create(engine, network, { height, width, perturbation }));
      known.set(perturbation, classifier);
      outputs = await classifier.run(images, { onProgress: (done) => onProgress?.(this.done + done), signal });
      await memory?.put(network, images, perturbation, outputs);
    }
    this.done += images.count;
    onProgress?.(this.done);
    return outputs;
  }

  destroy(): void {
    for (const ofSize of this.classifiers.values()) for (const classifier of ofSize.values()) classifier.destroy();
  }
}
