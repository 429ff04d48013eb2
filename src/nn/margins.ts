import { gatherImages, type Images, sourceOf } from '../data/image-set.js';
import { DataError, UsageError } from '../errors.js';
import type { Engine } from '../gpu/engine.js';
import { energy } from '../ood/scores/energy.js';
import { Classifier } from './classifier.js';
import type { Network } from './network.js';

/** Mean and population standard deviation of the energies of `count` images, in nats. */
export interface EnergyStatistics {
  readonly mean: number;
  readonly std: number;
  readonly count: number;
}

/** Margins for the two squared hinges, in nats, and why these. */
export interface Margins {
  readonly mIn: number;
  readonly mOut: number;
  /** One line. */
  readonly reason: string;
}

/** So many standard deviations of each kind must fit between the margins. */
const CLEARANCE = 2;
/** Nats; where neither kind spreads at all. */
const LEAST_GAP = 1;

/**
 * Energies E = -logsumexp(logits) (T = 1; Liu et al. 2020, eq. 4) of a network in evaluation mode.
 * @param options.limit images at most, taken at equal distances over the set, since sets are often sorted by class
 * @throws UsageError where limit is no whole number above 0; DataError for an empty set, or an energy that is not finite
 */
export async function measureEnergies(
  engine: Engine,
  network: Network,
  set: Images,
  { limit = 1000 }: { limit?: number } = {},
): Promise<EnergyStatistics> {
  if (!Number.isInteger(limit) || limit < 1)
    throw new UsageError(`limit of images is ${limit}, but must be a whole number of 1 or more`);
  if (set.count === 0) throw new DataError(`${sourceOf(set)} has no images to measure energies of: give another set`);
  const sample = await spread(set, limit);
  const { height, width } = set;
  const classifier = await Classifier.create(engine, network, { batch: Math.min(100, sample.count), height, width });
  try {
    const { logits } = await classifier.run(sample);
    return statistics(logits, network.config.classes, sourceOf(set));
  } finally {
    classifier.destroy();
  }
}

/** At most `limit` images, at equal distances. */
async function spread(set: Images, limit: number): Promise<Images> {
  if (set.count <= limit) return set;
  const indices = Uint32Array.from({ length: limit }, (_, i) => Math.floor((i * set.count) / limit));
  const { name, height, width } = set;
  return { name, height, width, images: await gatherImages(set, indices), count: limit };
}

function statistics(logits: Float32Array, classes: number, source: string): EnergyStatistics {
  if (!logits.every(Number.isFinite))
    throw new DataError(`${source}: the network gives logits that are not finite; check --weights and --normalize`);
  const energies = energy(logits, classes);
  const count = energies.length;
  const mean = energies.reduce((a, b) => a + b, 0) / count;
  const variance = energies.reduce((sum, energy) => sum + (energy - mean) ** 2, 0) / count;
  return { mean, std: Math.sqrt(variance), count };
}

/**
 * Margins around the mean energies of the base network (after Liu et al. 2020): the means themselves where two
 * standard deviations of each kind fit between them; else that distance apart, around the middle of the means.
 * @param inE energies in-distribution, in nats
 * @param outE energies of outliers, in nats
 * @returns margins to two decimals, mIn below mOut
 */
export function proposeMargins(inE: Omit<EnergyStatistics, 'count'>, outE: Omit<EnergyStatistics, 'count'>): Margins {
  const apart = outE.mean - inE.mean;
  const wanted = Math.max(CLEARANCE * (inE.std + outE.std), LEAST_GAP);
  if (apart >= wanted) {
    const reason = `the mean energies themselves, ${nats(apart)} apart, which leaves 2 standard deviations of each kind between them`;
    return { mIn: round(inE.mean), mOut: round(outE.mean), reason };
  }
  const middle = (inE.mean + outE.mean) / 2;
  const how =
    apart > 0 ? `the means are only ${nats(apart)} apart` : `outliers do not have the higher mean (by ${nats(apart)})`;
  const reason = `${how}, so the margins lie ${nats(wanted)} apart around their middle: 2 standard deviations of each kind, 1 nat at least`;
  return { mIn: round(middle - wanted / 2), mOut: round(middle + wanted / 2), reason };
}

const round = (value: number) => Math.round(value * 100) / 100;
const nats = (value: number) => `${value.toFixed(2)} nats`;
