import { type ImageSet, type Images, loadImages, pickImages, requireLabels } from '../data/image-set.js';
import { stream } from '../data/random.js';
import { VALIDATION_FAMILIES, validationOutliers } from '../data/validation-outliers.js';
import { UsageError } from '../errors.js';
import type { Engine } from '../gpu/engine.js';
import type { Network } from '../nn/network.js';
import { scoreSets } from '../nn/scorer.js';
import { AVERAGE, accuracy, evaluate } from '../ood/evaluate.js';
import type { FolderMemory } from './experiment/memory.js';
import { LAMBDA } from './regulariser.js';
import type { Tuner } from './tuning.js';

/** The pairs of the paper's ablation, its two names put right. */
export const GRID = { mIn: [-27, -23, -19, -15], mOut: [-7, -5, -3] };

/** Images that margins are chosen on, apart from any test set. */
export interface Validation {
  /** Labelled. */
  readonly inDistribution: ImageSet;
  /** One set of each family of validation outliers, made from those. */
  readonly outliers: readonly ImageSet[];
}

/** A pair of margins, and how the network fine-tuned with them does; figures in fractions of 1, by the paper's convention. */
export interface PairResult {
  readonly mIn: number;
  readonly mOut: number;
  /** Means over the families of validation outliers. */
  readonly fpr95: number;
  readonly auroc: number;
  /** On the validation images. */
  readonly accuracy: number;
  /** FPR95 of each family. */
  readonly families: Readonly<Record<string, number>>;
}

/** @throws UsageError where a pair is the wrong way round */
export function pairsOf(mIns: readonly number[], mOuts: readonly number[]): { mIn: number; mOut: number }[] {
  const [highest, lowest] = [Math.max(...mIns), Math.min(...mOuts)];
  if (highest >= lowest) {
    throw new UsageError(
      `--m-in ${highest} must be below --m-out ${lowest}, as every other pair: energy is to be low in-distribution`,
    );
  }
  return mIns.flatMap((mIn) => mOuts.map((mOut) => ({ mIn, mOut })));
}

/** Validation images: `inDistribution`, and a fifth as many outliers of each family. */
export async function validationOf(inDistribution: ImageSet, seed: number): Promise<Validation> {
  const count = Math.max(1, Math.floor(inDistribution.count / 5));
  const made = VALIDATION_FAMILIES.map((family) => validationOutliers(family, inDistribution, { seed, count }));
  return { inDistribution, outliers: await Promise.all(made.map(loadImages)) };
}

/** At most so many images are held out. */
const HELD_OUT = 1000;

/** A tenth of the images, a thousand at most, drawn at random, and the rest, which margins are then tried on. */
export async function holdOut(set: Images, seed: number): Promise<{ held: ImageSet; rest: Images }> {
  const order = stream(seed, 'held out').shuffle(set.count);
  const count = Math.min(HELD_OUT, Math.floor(set.count / 10));
  if (count < 2) throw new UsageError(`${set.name} has ${set.count} images: too few to hold a tenth of them out`);
  const part = (indices: Uint32Array) => pickImages(set, indices.sort());
  return { held: await loadImages(part(order.slice(0, count))), rest: part(order.slice(count)) };
}

/** How the network fine-tuned with each pair does on validation images, the pairs in the order given. */
export async function runGrid(
  engine: Engine,
  tuner: Tuner,
  pairs: readonly { readonly mIn: number; readonly mOut: number }[],
  validation: Validation,
  options: {
    memory: FolderMemory;
    signal?: AbortSignal | undefined;
    onPair?: (result: PairResult, network: Network, index: number) => void | Promise<void>;
  },
): Promise<PairResult[]> {
  const results: PairResult[] = [];
  for (const [index, { mIn, mOut }] of pairs.entries()) {
    const label = `pair ${index + 1}/${pairs.length}  m_in ${mIn}  m_out ${mOut}`;
    const network = await tuner.tune(engine, { kind: 'energy', mIn, mOut, lambda: LAMBDA.energy }, label);
    const result = { mIn, mOut, ...(await validate(engine, network, validation, options)) };
    results.push(result);
    await options.onPair?.(result, network, index);
  }
  return results;
}

async function validate(
  engine: Engine,
  network: Network,
  { inDistribution, outliers }: Validation,
  { memory, signal }: { memory: FolderMemory; signal?: AbortSignal | undefined },
) {
  const { classes } = network.config;
  const sets = [inDistribution, ...outliers];
  const [inside, ...outside] = await scoreSets(engine, network, sets, ['energy'], { memory, signal });
  const { results } = evaluate({
    inDistribution: inside!.scores,
    ood: outliers.map(({ name }, i) => ({ name, scores: outside[i]!.scores })),
    protocol: 'paper',
    resamples: 0,
  });
  const { fpr95, auroc } = results.find(({ set }) => set === AVERAGE)!;
  const families = Object.fromEntries(
    results.filter(({ set }) => set !== AVERAGE).map((row) => [row.set, row.fpr95] as const),
  );
  return {
    fpr95,
    auroc,
    accuracy: accuracy(inside!.logits, requireLabels(inDistribution, classes), classes),
    families,
  };
}

/** How {@link best} chooses, for those who read its choice. */
export const CHOICE =
  'the lowest mean FPR95 over the eight families of validation outliers; of equals the higher AUROC, then the first';

/** The index of the pair with the lowest FPR95; of equals that with the higher AUROC, of these the first. */
export function best(results: readonly PairResult[]): number {
  let chosen = 0;
  for (const [i, { fpr95, auroc }] of results.entries()) {
    const to = results[chosen]!;
    if (fpr95 < to.fpr95 || (fpr95 === to.fpr95 && auroc > to.auroc)) chosen = i;
  }
  return chosen;
}
