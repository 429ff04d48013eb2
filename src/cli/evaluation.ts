import type { ImageSet } from '../data/image-set.js';
import { requireLabels } from '../data/image-set.js';
import type { Engine } from '../gpu/engine.js';
import { Classifier } from '../nn/classifier.js';
import type { Network } from '../nn/network.js';
import { type Evaluation, evaluate } from '../ood/evaluate.js';
import type { Convention } from '../ood/metrics.js';
import { startProgress } from './progress.js';

/** Accuracy on a labelled set, and metrics against each out-of-distribution set, with a progress bar. */
export async function evaluateNetwork(
  engine: Engine,
  network: Network,
  sets: { readonly inDistribution: ImageSet; readonly ood: readonly ImageSet[] },
  options: { scores: readonly string[]; convention: Convention; label: string; quiet?: boolean | undefined },
): Promise<Evaluation> {
  const { classes } = network.config;
  const labels = requireLabels(sets.inDistribution, classes);
  const all = [sets.inDistribution, ...sets.ood];
  const total = all.reduce((sum, { count }) => sum + count, 0);
  const progress = startProgress({ label: options.label, total, unit: 'images', quiet: options.quiet });
  const classifier = await Classifier.create(engine, network);
  const logits: Float32Array[] = [];
  let before = 0;
  for (const set of all) {
    logits.push((await classifier.run(set, { onProgress: (done) => progress.update(before + done) })).logits);
    before += set.count;
  }
  progress.end();
  classifier.destroy();
  return evaluate({
    classes,
    inDistribution: { logits: logits[0]!, labels },
    ood: sets.ood.map(({ name }, i) => ({ name, logits: logits[i + 1]! })),
    scores: options.scores,
    convention: options.convention,
  });
}
