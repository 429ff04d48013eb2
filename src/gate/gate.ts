import { DataError } from '../errors.js';
import { type NdArray, toFloat16, toFloat32 } from '../formats/array.js';
import type { Network } from '../nn/network.js';
import { Calibrator } from '../ood/calibrator.js';
import type { ScoreState } from '../ood/scores.js';

/** What a gate's file holds the weights of convolutions and of fc in. */
export type Precision = 'float32' | 'float16';

/** A network, a score and what the score gave for held-out in-distribution images: all that decides about an image. */
export interface Gate {
  readonly network: Network;
  readonly precision: Precision;
  /** A name in `SCORES`, and how it is computed. */
  readonly score: string;
  readonly temperature?: number | undefined;
  readonly epsilon?: number | undefined;
  /** What the score learned of training images, where it does. */
  readonly fit?: ScoreState | undefined;
  /** The fraction of in-distribution images that is to be accepted. */
  readonly accept: number;
  readonly calibration: {
    /** n scores, the higher the more in-distribution. */
    readonly scores: Float64Array;
    /** The class that the network gave each image, where every class has a threshold of its own. */
    readonly labels?: Int32Array | undefined;
  };
}

/**
 * One calibrator, or one a class (by the class that the network gives an image), at a gate's acceptance rate or another.
 * @throws DataError where there are too few scores for it
 */
export function calibratorsOf(
  { calibration: { scores, labels }, network }: Gate,
  accept: number,
): readonly [Calibrator, ...Calibrator[]] {
  if (!labels) return [new Calibrator(scores, { accept })];
  const { config, classNames } = network;
  return Calibrator.perClass(scores, labels, config.classes, { accept, classNames }) as [Calibrator, ...Calibrator[]];
}

/**
 * The network as a gate of this precision holds it: with float16, the weights of convolutions and of fc are rounded; batch
 * norms, whose variances may be small, stay. Calibrate with what this returns.
 * @throws DataError where a weight is too large for float16
 */
export function atPrecision(network: Network, precision: Precision): Network {
  if (precision === 'float32') return network;
  const state = Array.from(network.state, ([name, { shape, data }]) => {
    if (!isHalved(name)) return [name, { shape, data }] as const;
    const rounded = toFloat32(half(shape, data));
    if (!rounded.every(Number.isFinite)) throw new DataError(`${name} has weights past 65504; keep float32`);
    return [name, { shape, data: rounded }] as const;
  });
  return { ...network, state: new Map(state) };
}

/** Whether a float16 gate rounds this tensor. */
export const isHalved = (name: string): boolean => /(conv\w*|fc)\.weight$/.test(name);

export const half = (shape: readonly number[], data: Float32Array): NdArray => ({
  dtype: 'float16',
  shape,
  data: toFloat16(data),
});
