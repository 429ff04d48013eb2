/** Fine-tuning in the worker: data, training with energies measured on the way, and a new calibration. */
import {
  Calibrator,
  DataError,
  Detector,
  type Engine,
  type Gate,
  type ImageSet,
  type Network,
  OPTIMISER,
  proposeMargins,
  type StepLog,
  syntheticImages,
  syntheticOutliers,
  Trainer,
} from '../../src/index.js';
import { takeImages } from './image-sets.js';

export interface FineTuneOptions {
  readonly steps: number;
  /** In-distribution images and outliers a step. */
  readonly batch: number;
  readonly outlierBatch: number;
  readonly learningRate: number;
  /** Nats; measured on the network where absent. */
  readonly margins?: { readonly mIn: number; readonly mOut: number } | undefined;
  /** Labelled images of the network's classes: a fifth is kept for watching and a fifth for calibration. Embedded where absent. */
  readonly inDistribution?: ImageSet | undefined;
  /** A fifth is kept for watching where there are enough. Embedded where absent. */
  readonly outliers?: ImageSet | undefined;
  /** The acceptance rate to calibrate for. */
  readonly accept: number;
}

/** The network's energies, in nats, on in-distribution images that it is not trained on, and on outliers. */
export interface Probe {
  readonly step: number;
  readonly inDistribution: Float64Array;
  readonly outliers: Float64Array;
  /** Whether it is not trained on these outliers either. */
  readonly heldOut: boolean;
  /** Of the in-distribution images. */
  readonly accuracy: number;
  /** The share of outliers above the energy below which the gate's acceptance rate of the in-distribution images lies. */
  readonly refused: number;
}

export type FineTuneEvent =
  | { readonly phase: 'drawing' | 'compiling' | 'calibrating' }
  | { readonly margins: { readonly mIn: number; readonly mOut: number } }
  | { readonly logs: readonly StepLog[] }
  | { readonly probe: Probe };

export interface FineTuned {
  readonly gate: Gate;
  readonly steps: number;
}

/** Images a run, everywhere: another size would be compiled anew. */
export const BATCH = 16;
/** The paper's weight of the energy term. */
const LAMBDA = 0.1;
/** At most this share of the time goes into probes. */
const PROBE_SHARE = 0.25;

/**
 * Fine-tune a gate's network by the energy loss (Liu et al. 2020, eq. 8) and calibrate it anew on images that it was not
 * trained on.
 * @param signal stops training; what was trained so far is calibrated
 * @returns undefined where it was stopped before the first step
 * @throws DataError where the images do not fit or are too few; DivergenceError; DeviceError
 */
export async function fineTune(
  engine: Engine,
  gate: Gate,
  options: FineTuneOptions,
  onEvent: (event: FineTuneEvent) => void,
  signal: AbortSignal,
): Promise<FineTuned | undefined> {
  onEvent({ phase: 'drawing' });
  const data = await dataOf(options, engine.adapter.software ? { probe: 48, calibration: 320 } : FULL);
  // Too few images are found now, not after training.
  new Calibrator(new Float64Array(data.calibration.count), { accept: options.accept });
  // Drawing lets nothing in: what was asked meanwhile comes now.
  await new Promise((resolve) => setTimeout(resolve));
  if (signal.aborted) return undefined;

  onEvent({ phase: 'compiling' });
  /** Nothing where it was stopped while this was compiled. */
  const measure = (step: number, network: Network) =>
    withDetector(engine, { ...gate, network }, async (detector) =>
      signal.aborted ? undefined : probe(detector, data, step, options.accept),
    );
  const before = await measure(0, gate.network);
  if (!before || signal.aborted) return undefined;
  onEvent({ probe: before });
  const margins = options.margins ?? proposeMargins(spread(before.inDistribution), spread(before.outliers));
  onEvent({ margins: { mIn: margins.mIn, mOut: margins.mOut } });

  const trainer = await Trainer.create(engine, gate.network, data.training, {
    steps: options.steps,
    batch: Math.min(options.batch, data.training.inDistribution.count),
    outlierBatch: Math.min(options.outlierBatch, data.training.outliers.count),
    learningRate: options.learningRate,
    regulariser: { kind: 'energy', mIn: margins.mIn, mOut: margins.mOut, lambda: LAMBDA },
    ...OPTIMISER,
    dropout: 0,
    augment: true,
    shuffle: true,
    seed: 1,
  });
  try {
    let next = 0;
    await trainer.run(async (logs) => {
      onEvent({ logs });
      if (signal.aborted || performance.now() < next || trainer.step === options.steps) return;
      const start = performance.now();
      const measured = await measure(trainer.step, await trainer.network());
      if (measured) onEvent({ probe: measured });
      next = performance.now() + Math.max(400, (performance.now() - start) / PROBE_SHARE);
    }, signal);
    if (trainer.step === 0) return undefined;
    const network = await trainer.network();
    onEvent({ phase: 'calibrating' });
    return await withDetector(engine, { ...gate, network }, async (detector) => {
      onEvent({ probe: await probe(detector, data, trainer.step, options.accept) });
      const scores = Float64Array.from(await detector.check(data.calibration), ({ score }) => score);
      const { accept } = options;
      return {
        gate: { network, precision: 'float32', score: 'energy', accept, calibration: { scores } },
        steps: trainer.step,
      };
    });
  } finally {
    trainer.destroy();
  }
}

/** Ask this gate's network for energies, whatever the gate's own score is. */
async function withDetector<T>(engine: Engine, gate: Gate, ask: (detector: Detector) => Promise<T>): Promise<T> {
  const energies: Gate = { ...gate, score: 'energy', temperature: undefined, epsilon: undefined, fit: undefined };
  const detector = await Detector.of(engine, energies, { batch: BATCH });
  try {
    return await ask(detector);
  } finally {
    detector.destroy();
  }
}

/** How many images are watched, of each kind, and how many are calibrated on. */
const FULL = { probe: 256, calibration: 1000 };

interface Data {
  readonly training: { readonly inDistribution: ImageSet; readonly outliers: ImageSet };
  /** To watch training by. The in-distribution images are held out of it, the outliers where `heldOut`. */
  readonly watched: { readonly inDistribution: ImageSet; readonly outliers: ImageSet; readonly heldOut: boolean };
  /** Held out of training, too. */
  readonly calibration: ImageSet;
}

/**
 * The images of a fine-tuning.
 * @throws DataError where in-distribution images of one's own have no labels
 */
export async function dataOf(
  { inDistribution, outliers, steps, batch, outlierBatch, accept }: FineTuneOptions,
  counts: typeof FULL,
): Promise<Data> {
  const own = inDistribution && split(inDistribution);
  const others = outliers && splitOutliers(outliers);
  // No more than the run can take, and no more than it takes to draw in a few seconds.
  const images = Math.min(2000, steps * batch);
  const outside = Math.min(2000, steps * outlierBatch);
  // So many allow this rate.
  const least = Math.ceil(accept / (1 - accept));
  return {
    training: {
      inDistribution: own?.training ?? syntheticImages({ seed: 1, count: images, split: 'train' }),
      outliers: others?.training ?? syntheticOutliers({ seed: 1, count: outside }),
    },
    watched: {
      inDistribution: takeImages(
        own?.watched ?? syntheticImages({ seed: 1, count: counts.probe, split: 'test' }),
        counts.probe,
      ),
      // The embedded ones are of another seed than those of training.
      outliers: takeImages(others?.watched ?? syntheticOutliers({ seed: 2, count: counts.probe }), counts.probe),
      heldOut: others?.heldOut ?? true,
    },
    calibration:
      own?.calibration ?? syntheticImages({ seed: 1, count: Math.max(counts.calibration, least), split: 'validation' }),
  };
}

/** Three fifths to train on, one to watch, one to calibrate on. */
function split(set: ImageSet): { training: ImageSet; watched: ImageSet; calibration: ImageSet } {
  if (!set.labels)
    throw new DataError(`${set.name} has no labels: fine-tuning needs them, save the array 'labels' beside 'images'`);
  const every = (wanted: (k: number) => boolean) => takeImages(set, set.count, wanted);
  return {
    training: every((k) => k % 5 < 3),
    watched: every((k) => k % 5 === 3),
    calibration: every((k) => k % 5 === 4),
  };
}

/** Fewer outliers are all needed for training. */
const HOLD_OUT_FROM = 50;

/** Four fifths to train on and one to watch; all of them for both where they are few. */
function splitOutliers(set: ImageSet): { training: ImageSet; watched: ImageSet; heldOut: boolean } {
  if (set.count < HOLD_OUT_FROM) return { training: set, watched: set, heldOut: false };
  const every = (wanted: (k: number) => boolean) => takeImages(set, set.count, wanted);
  return { training: every((k) => k % 5 < 4), watched: every((k) => k % 5 === 4), heldOut: true };
}

async function probe(detector: Detector, { watched }: Data, step: number, accept: number): Promise<Probe> {
  const inside = await detector.check(watched.inDistribution);
  const outside = await detector.check(watched.outliers);
  const { labels, count } = watched.inDistribution;
  const right = inside.filter(({ label }, i) => label === labels![i]).length;
  const energies = Float64Array.from(inside, ({ energy }) => energy).sort();
  const limit = energies[Math.min(count - 1, Math.floor(accept * count))]!;
  return {
    step,
    inDistribution: energies,
    outliers: Float64Array.from(outside, ({ energy }) => energy),
    heldOut: watched.heldOut,
    accuracy: right / count,
    refused: outside.filter(({ energy }) => energy > limit).length / outside.length,
  };
}

function spread(energies: Float64Array): { mean: number; std: number } {
  const mean = energies.reduce((a, b) => a + b, 0) / energies.length;
  const variance = energies.reduce((sum, value) => sum + (value - mean) ** 2, 0) / energies.length;
  return { mean, std: Math.sqrt(variance) };
}
