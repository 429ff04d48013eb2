import type { Images } from '../data/image-set.js';
import type { Engine } from '../gpu/engine.js';
import { labelsOf } from '../nn/classifier.js';
import type { Network } from '../nn/network.js';
import { type Fits, scoreSets } from '../nn/scorer.js';
import type { ScoreOptions } from '../ood/scores.js';
import { atPrecision, calibratorsOf, type Gate, type Precision } from './gate.js';

/** How {@link calibrateGate} makes a gate. */
export interface GateOptions extends ScoreOptions {
  /** The fraction of in-distribution images that is to be accepted, in (0, 1). */
  readonly accept: number;
  /** A name in `SCORES`; energy by default. */
  readonly score?: string | undefined;
  /** What the score learned of training images, where it does: `fitScores`, of this network at this precision. */
  readonly fits?: Fits | undefined;
  /** A threshold for each class (by the class that the network gives an image) instead of one for all. */
  readonly perClass?: boolean | undefined;
  /** What the file holds its weights in; the calibration is that of the rounded weights. float32 by default. */
  readonly precision?: Precision | undefined;
  /** Gets the number of images done. */
  readonly onProgress?: ((done: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A gate from a network and held-out in-distribution images: images that it was not trained on, and that what comes later is
 * like. Their labels are not used; names of as many classes as the network has are, where it knows none.
 * @throws DataError where there are too few images for this rate, or a weight is too large for float16
 * @throws UsageError where the score does not exist or has no fit, or a number is out of range
 */
export async function calibrateGate(
  engine: Engine,
  network: Network,
  images: Images,
  options: GateOptions,
): Promise<Gate> {
  const { accept, score = 'energy', temperature, epsilon, fits, perClass = false, precision = 'float32' } = options;
  const { onProgress, signal } = options;
  // Pictures may lie in folders that are no classes.
  const named = images.classNames?.length === network.config.classes ? images.classNames : undefined;
  const held: Network = { ...atPrecision(network, precision), classNames: network.classNames ?? named };
  const [scored] = await scoreSets(engine, held, [images], [score], {
    ...{ temperature, epsilon, fits, onProgress, signal },
    // A gate compares what it is asked with these scores: both are made in one way.
    onArrays: true,
  });
  const gate: Gate = {
    network: held,
    ...{ precision, score, temperature, epsilon, accept },
    fit: fits?.get(score),
    calibration: {
      scores: scored!.scores.get(score)!,
      labels: perClass ? labelsOf(scored!.logits, held.config.classes) : undefined,
    },
  };
  calibratorsOf(gate, accept);
  return gate;
}
