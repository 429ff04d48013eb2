import { requireLabels } from '../../data/image-set.js';
import type { Engine } from '../../gpu/engine.js';
import { labelsOf } from '../../nn/classifier.js';
import type { Network } from '../../nn/network.js';
import { type Fits, fitScores, fittedScores, passes, scoreSets } from '../../nn/scorer.js';
import { accuracy, type Protocol } from '../../ood/evaluate.js';
import { METHODS, type MethodName, ROLES, type Role } from '../../report/methods.js';
import type { Report } from '../../report/page.js';
import type { Validation } from '../grid.js';
import { startProgress } from '../progress.js';
import { LAMBDA } from '../regulariser.js';
import type { Tuner } from '../tuning.js';
import type { Inputs } from './inputs.js';
import type { FolderMemory } from './memory.js';

/** What every experiment is given. */
export interface Context {
  readonly inputs: Inputs;
  readonly memory: FolderMemory;
  readonly tuner: Tuner | undefined;
  readonly margins: { readonly mIn: number; readonly mOut: number };
  readonly grid: { readonly mIn: readonly number[]; readonly mOut: readonly number[] };
  /** For choosing margins. */
  readonly validation: Validation | undefined;
  readonly protocol: Protocol;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly quiet?: boolean | undefined;
}

/** What every experiment gives: a report, and its figures as rows and as a whole. */
export interface Outcome {
  readonly report: Report;
  readonly rows: readonly Readonly<Record<string, string | number | undefined>>[];
  readonly json: Readonly<Record<string, unknown>>;
}

/** The scores of one method: of in-distribution images, and of each out-of-distribution set. */
export interface MethodScores {
  readonly ins: Float64Array;
  readonly outs: readonly Float64Array[];
}

/** What networks said of the sets of an experiment. */
export interface Scored {
  readonly methods: ReadonlyMap<MethodName, MethodScores>;
  /** Of each network that was asked. */
  readonly accuracy: ReadonlyMap<Role, number>;
  /** The predicted class of each image, in-distribution first, then each set. */
  readonly predicted: ReadonlyMap<Role, readonly Int32Array[]>;
}

/** The methods that there are networks and training images for, and why others are left out. */
export function feasible(
  methods: readonly MethodName[],
  { inputs, tuner }: Context,
): { methods: MethodName[]; notes: string[] } {
  const reasons = new Map<MethodName, string>();
  for (const name of methods) {
    const { role, score } = METHODS[name];
    if (!inputs.networks.has(role) && !tuner) {
      reasons.set(
        name,
        `give ${role === 'oe' ? '--oe-tuned' : '--tuned'}, or --train and --outliers to fine-tune here`,
      );
    } else if (fittedScores([score]).length > 0 && !inputs.training) {
      reasons.set(name, 'give --train, which it is fitted on');
    }
  }
  const notes = Array.from(reasons, ([name, reason]) => `${METHODS[name].label} is left out: ${reason}.`);
  return { methods: methods.filter((name) => !reasons.has(name)), notes };
}

/** The network of a role: given, or fine-tuned now. */
export function networkOf(engine: Engine, role: Role, { inputs, tuner, margins }: Context): Promise<Network> {
  const given = inputs.networks.get(role);
  if (given) return Promise.resolve(given);
  return role === 'oe'
    ? tuner!.tune(engine, { kind: 'oe', lambda: LAMBDA.oe }, 'fine-tune, OE')
    : tuner!.tune(engine, { kind: 'energy', ...margins, lambda: LAMBDA.energy }, 'fine-tune, energy');
}

/** Scores of every set by each method; each network is asked once, and once more for a method with an input step. */
export async function scoreMethods(engine: Engine, methods: readonly MethodName[], context: Context): Promise<Scored> {
  const { inputs, memory, signal, quiet } = context;
  const sets = [inputs.inDistribution, ...inputs.ood];
  const found = new Map<MethodName, MethodScores>();
  const accuracies = new Map<Role, number>();
  const predicted = new Map<Role, readonly Int32Array[]>();
  for (const role of new Set(methods.map((name) => METHODS[name].role))) {
    const network = await networkOf(engine, role, context);
    const names = methods.filter((name) => METHODS[name].role === role);
    const scores = names.map((name) => METHODS[name].score);
    const fits = await fit(engine, network, scores, context);
    const images = sets.reduce((sum, { count }) => sum + count, 0) * passes(scores, {}, fits);
    const progress = startProgress({ label: `score, ${ROLES[role]}`, total: images, unit: 'images', quiet });
    const results = await scoreSets(engine, network, sets, scores, {
      fits,
      memory,
      signal,
      onProgress: (done) => progress.update(done),
    });
    progress.end();
    for (const name of names) {
      const of = results.map((result) => result.scores.get(METHODS[name].score)!);
      found.set(name, { ins: of[0]!, outs: of.slice(1) });
    }
    const { classes } = network.config;
    const labels = requireLabels(inputs.inDistribution, classes);
    accuracies.set(role, accuracy(results[0]!.logits, labels, classes));
    predicted.set(
      role,
      results.map(({ logits }) => labelsOf(logits, classes)),
    );
  }
  return { methods: found, accuracy: accuracies, predicted };
}

async function fit(engine: Engine, network: Network, scores: readonly string[], context: Context): Promise<Fits> {
  const needed = fittedScores(scores);
  if (needed.length === 0) return new Map();
  const training = context.inputs.training!;
  const progress = startProgress({ label: 'fit', total: training.count, unit: 'images', quiet: context.quiet });
  const fits = await fitScores(engine, network, training, needed, {
    memory: context.memory,
    signal: context.signal,
    onProgress: (done) => progress.update(done),
  });
  progress.end();
  return fits;
}
