import { type ImageSource, type Images, isInMemory } from '../data/image-set.js';
import { DataError, UsageError } from '../errors.js';
import type { NdArray } from '../formats/array.js';
import { sha256 } from '../formats/digest.js';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.js';
import { isStatistic, type Network, stateDictOf, type Values } from './network.js';
import { decodeNetwork, networkMetadata } from './network-file.js';
import type { TrainingData, TrainingOptions, TrainingState } from './trainer.js';

/**
 * A run of training at rest. Weights, momentum and running statistics are its tensors; schedule position, data order and
 * random state follow from the step and the options, seed included, since all of them are counted and not drawn.
 */
export interface Checkpoint {
  readonly state: TrainingState;
  readonly options: TrainingOptions;
  /** SHA-256 of what went in, as {@link fingerprints} gives it. */
  readonly data: DataFingerprints;
}

export interface DataFingerprints {
  readonly inDistribution: string;
  readonly outliers?: string | undefined;
  /** Of the network that was fine-tuned; absent where training began from scratch, which the seed decides. */
  readonly weights?: string | undefined;
}

const VELOCITY = 'velocity.';

/** A checkpoint as a safetensors file. */
export function encodeCheckpoint({ state, options, data }: Checkpoint): Uint8Array {
  const tensors = new Map<string, NdArray>(stateDictOf(state.network));
  for (const [name, { shape, data: values }] of state.velocity) {
    tensors.set(VELOCITY + name, { dtype: 'float32', shape, data: values });
  }
  const training = JSON.stringify({ step: state.step, options, data });
  return writeSafetensors(tensors, { ...networkMetadata(state.network), training });
}

/**
 * Read what {@link encodeCheckpoint} wrote.
 * @throws DataError where the file is damaged or is not a checkpoint
 */
export function decodeCheckpoint(bytes: Uint8Array, fileName: string): Checkpoint {
  const { tensors, metadata } = readSafetensors(bytes, fileName);
  if (metadata.training === undefined) throw new DataError(`${fileName} is not a checkpoint: it has no training state`);
  const weights = new Map<string, NdArray>();
  const momenta = new Map<string, NdArray>();
  for (const [name, tensor] of tensors) {
    if (name.startsWith(VELOCITY)) momenta.set(name.slice(VELOCITY.length), tensor);
    else weights.set(name, tensor);
  }
  const network = decodeNetwork({ tensors: weights, metadata }, fileName);
  try {
    const { step, options, data } = JSON.parse(metadata.training) as { step: number } & Omit<Checkpoint, 'state'>;
    if (!(Number.isInteger(step) && step >= 0 && step <= options.steps && typeof data.inDistribution === 'string'))
      throw new Error(`step ${step} of ${options.steps}`);
    return { state: { network, velocity: velocityOf(network, momenta), step }, options, data };
  } catch (cause) {
    throw new DataError(`${fileName}: its training state is damaged: start the run anew`, { cause });
  }
}

function velocityOf(network: Network, momenta: ReadonlyMap<string, NdArray>): Map<string, Values> {
  const velocity = new Map<string, Values>();
  for (const [name, { shape }] of network.state) {
    if (isStatistic(name)) continue;
    const tensor = momenta.get(name);
    if (tensor?.dtype !== 'float32' || tensor.shape.join() !== shape.join()) throw new Error(VELOCITY + name);
    velocity.set(name, { shape, data: Float32Array.from(tensor.data as Float32Array) });
  }
  return velocity;
}

/** Images of a set that is not in memory which are hashed at once. */
const HASHED = 4096;

/** SHA-256, in hexadecimal, of an image set's pixels (of a set that is not in memory, of its pieces' hashes) and labels. */
export async function fingerprint(set: Images): Promise<string> {
  const pixels = isInMemory(set) ? sha256(set.images) : hashOfPieces(set);
  return (await Promise.all([pixels, ...(set.labels ? [sha256(set.labels)] : [])])).join('-');
}

async function hashOfPieces(set: ImageSource): Promise<string> {
  const hashes: string[] = [];
  for (let start = 0; start < set.count; start += HASHED) {
    hashes.push(await sha256(await set.read(start, Math.min(HASHED, set.count - start))));
  }
  return sha256(new TextEncoder().encode(hashes.join()));
}

/** The fingerprints of a run's data, and of the network that it fine-tunes, if it does. */
export async function fingerprints(
  { inDistribution, outliers }: TrainingData,
  weights?: Network,
): Promise<DataFingerprints> {
  return {
    inDistribution: await fingerprint(inDistribution),
    ...(outliers ? { outliers: await fingerprint(outliers) } : {}),
    ...(weights ? { weights: await sha256(writeSafetensors(stateDictOf(weights))) } : {}),
  };
}

/**
 * Refuse to go on with other data, or for other weights, than a run began with.
 * @throws UsageError naming what differs
 */
export function requireSameData(checkpoint: Checkpoint, data: DataFingerprints, source: string): void {
  for (const [key, what] of [
    ['inDistribution', 'in-distribution images'],
    ['outliers', 'outliers'],
    ['weights', 'weights'],
  ] as const) {
    if (checkpoint.data[key] !== data[key]) {
      throw new UsageError(`the ${what} are not those that the run in ${source} began with: give the same files`);
    }
  }
}
