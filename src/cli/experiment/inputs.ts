import { type Images, requireLabels, subset } from '../../data/image-set.js';
import { UsageError } from '../../errors.js';
import type { Normalization } from '../../kernels/gather-images.js';
import type { Network } from '../../nn/network.js';
import { decodeNetwork } from '../../nn/network-file.js';
import type { TrainingData } from '../../nn/trainer.js';
import { readStateDict } from '../../node/files.js';
import { readImageSet } from '../../node/images.js';
import type { Role } from '../../report/methods.js';
import { embeddedFinetuning, embeddedTest, embeddedValidation, embeddedWeights } from '../embedded.js';
import { holdOut, type Validation, validationOf } from '../grid.js';
import { readOodSets, requireOodNames } from '../ood-sets.js';

export interface InputArguments {
  readonly weights?: string;
  readonly in?: string;
  readonly ood?: ReadonlyMap<string, string>;
  readonly oodCount?: number;
  readonly train?: string;
  readonly outliers?: string;
  readonly tuned?: string;
  readonly oeTuned?: string;
  readonly normalize?: Normalization;
  readonly seed: number;
}

/** What an experiment works on. */
export interface Inputs {
  readonly embedded: boolean;
  /** The pre-trained network, and those that were fine-tuned elsewhere. */
  readonly networks: ReadonlyMap<Role, Network>;
  readonly inDistribution: Images;
  readonly ood: readonly Images[];
  /** Training images: of fits, and with the outliers of fine-tuning. */
  readonly training: Images | undefined;
  readonly outliers: Images | undefined;
}

/** Whether it is the embedded run. @throws UsageError where only some of the inputs are given that make another */
export function isEmbedded({ weights, in: images, ood }: InputArguments): boolean {
  const missing = Object.entries({ weights, in: images, ood }).filter(([, value]) => value === undefined);
  if (missing.length === 1 || missing.length === 2) {
    const flags = missing.map(([name]) => `--${name}`).join(' and ');
    throw new UsageError(`${flags} missing: give --weights, --in and --ood, or none of them for the embedded sets`);
  }
  return missing.length === 3;
}

/** @throws UsageError, DataError for what cannot be; nothing is computed yet */
export async function readInputs(args: InputArguments): Promise<Inputs> {
  const embedded = isEmbedded(args);
  if (args.ood) requireOodNames(args.ood);
  const network = async (path: string) => decodeNetwork(await readStateDict(path), path, args.normalize);
  const base = await network(args.weights ?? embeddedWeights());
  const networks = new Map<Role, Network>([['base', base]]);
  for (const [role, path] of [
    ['tuned', args.tuned],
    ['oe', args.oeTuned],
  ] as const) {
    if (!path) continue;
    const tuned = await network(path);
    if (JSON.stringify(tuned.config) !== JSON.stringify(base.config)) {
      throw new UsageError(`${path} is not fine-tuned from --weights: they differ in depth, width or classes`);
    }
    networks.set(role, tuned);
  }
  const training = embedded ? embeddedFinetuning() : undefined;
  const sets = embedded ? embeddedTest() : await readSets(args);
  requireLabels(sets.inDistribution, base.config.classes);
  const { oodCount } = args;
  const trainingImages = args.train ? await readImageSet(args.train) : training?.inDistribution;
  if (trainingImages) requireLabels(trainingImages, base.config.classes);
  return {
    embedded,
    networks,
    inDistribution: sets.inDistribution,
    ood: sets.ood.map((set) => subset(set, 0, Math.min(set.count, oodCount ?? set.count))),
    training: trainingImages,
    outliers: args.outliers ? await readImageSet(args.outliers) : training?.outliers,
  };
}

async function readSets({ in: path, ood, oodCount, seed }: InputArguments) {
  const inDistribution = await readImageSet(path!, { split: 'test' });
  return { inDistribution, ood: await readOodSets(ood!, inDistribution, { count: oodCount, seed }) };
}

/** What the network may be fine-tuned on; nothing where training images or outliers are missing. */
export function tuningData({ training, outliers }: Inputs): Required<TrainingData> | undefined {
  return training && outliers && { inDistribution: training, outliers };
}

/** For choosing margins: fine-tuning without the images that are held out, and those. */
export async function validationData(
  inputs: Inputs,
  seed: number,
): Promise<{ data: Required<TrainingData>; validation: Validation } | undefined> {
  const data = tuningData(inputs);
  if (!data) return undefined;
  if (inputs.embedded) return { data, validation: await validationOf(embeddedValidation(), seed) };
  const { held, rest } = await holdOut(inputs.training!, seed);
  return { data: { ...data, inDistribution: rest }, validation: await validationOf(held, seed) };
}
