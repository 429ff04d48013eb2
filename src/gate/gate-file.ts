import { DataError, UsageError } from '../errors.js';
import { type NdArray, toFloat16, toFloat32 } from '../formats/array.js';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.js';
import { type Network, stateDictOf } from '../nn/network.js';
import { decodeNetwork, networkMetadata } from '../nn/network-file.js';
import { Calibrator } from '../ood/calibrator.js';
import { findScore, type ScoreState } from '../ood/scores.js';

export type Precision = 'float32' | 'float16';

/** A network, a score and what the score gave for held-out in-distribution images: all that decides about an image. */
export interface Gate {
  readonly network: Network;
  readonly precision: Precision;
  /** A name in `SCORES`, and how it is computed. */
  readonly score: string;
  readonly temperature?: number | undefined;
  readonly epsilon?: number | undefined;
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

/** One calibrator, or one a class (by the class that the network gives an image), at a gate's acceptance rate or another. */
export function calibratorsOf(
  { calibration: { scores, labels }, network }: Gate,
  accept: number,
): readonly [Calibrator, ...Calibrator[]] {
  if (!labels) return [new Calibrator(scores, { accept })];
  return Array.from({ length: network.config.classes }, (_, k) => {
    const name = network.classNames?.[k] ?? `class ${k}`;
    const own = scores.filter((_, i) => labels[i] === k);
    try {
      return new Calibrator(own, { accept });
    } catch (error) {
      throw new DataError(`${name}: ${(error as Error).message}, or calibrate all classes together`, { cause: error });
    }
  }) as [Calibrator, ...Calibrator[]];
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
    if (!rounded.every(Number.isFinite)) throw new DataError(`${name} has weights past 65504: keep float32`);
    return [name, { shape, data: rounded }] as const;
  });
  return { ...network, state: new Map(state) };
}

const isHalved = (name: string) => /(conv\w*|fc)\.weight$/.test(name);
const half = (shape: readonly number[], data: Float32Array): NdArray => ({
  dtype: 'float16',
  shape,
  data: toFloat16(data),
});

const FORMAT = 'energate-gate';
const VERSION = '1';
const BLANK = '0'.repeat(64);

/**
 * A gate as one file: safetensors, with `network.*` (PyTorch's names and layouts), `fit.*` and `calibration.*` as tensors, and
 * these metadata: `format`, `version`, `network`, `normalization`, `class_names`, `gate` (JSON: score, temperature, epsilon,
 * accept, precision, n, thresholds, acceptance_bounds_95, method) and `sha256`, of the file with this field as 64 zeros.
 */
export async function encodeGate(gate: Gate): Promise<Uint8Array> {
  const tensors = new Map<string, NdArray>();
  for (const [name, array] of stateDictOf(gate.network)) {
    const halved = gate.precision === 'float16' && isHalved(name);
    tensors.set(`network.${name}`, halved ? half(array.shape, array.data as Float32Array) : array);
  }
  for (const [name, array] of Object.entries(gate.fit ?? {})) tensors.set(`fit.${name}`, array);
  const { scores, labels } = gate.calibration;
  tensors.set('calibration.scores', { dtype: 'float64', shape: [scores.length], data: scores });
  if (labels) tensors.set('calibration.labels', { dtype: 'int32', shape: [labels.length], data: labels });

  const calibrators = calibratorsOf(gate, gate.accept);
  const { format: _, ...network } = networkMetadata(gate.network);
  const metadata = {
    format: FORMAT,
    version: VERSION,
    sha256: BLANK,
    ...network,
    gate: JSON.stringify({
      score: gate.score,
      temperature: gate.temperature,
      epsilon: gate.epsilon,
      accept: gate.accept,
      precision: gate.precision,
      n: scores.length,
      thresholds: calibrators.map(({ threshold }) => threshold),
      acceptance_bounds_95: calibrators.map((calibrator) => {
        const { lower, upper } = calibrator.bounds(0.95);
        return [lower, upper];
      }),
      method: 'split conformal prediction on the score',
    }),
  };
  const digest = await sha256(writeSafetensors(tensors, metadata));
  return writeSafetensors(tensors, { ...metadata, sha256: digest });
}

/**
 * What {@link encodeGate} wrote.
 * @param source what to call the file in messages
 * @throws DataError where it is no gate, of another version, or damaged
 */
export async function decodeGate(bytes: Uint8Array, source: string): Promise<Gate> {
  const { tensors, metadata } = readSafetensors(bytes, source);
  if (metadata.format !== FORMAT) {
    throw new DataError(`${source} is not a gate: make one with energate calibrate`);
  }
  if (metadata.version !== VERSION) {
    throw new DataError(`${source} is a gate of version ${metadata.version}, this reads ${VERSION}: update energate`);
  }
  await checkDigest(bytes, metadata.sha256, source);
  const parts = (prefix: string) =>
    new Map(
      Array.from(tensors)
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, array]) => [name.slice(prefix.length), array]),
    );
  const calibration = parts('calibration.');
  const fit = Object.fromEntries(parts('fit.'));
  const { score, temperature, epsilon, accept, precision } = JSON.parse(metadata.gate!) as Gate;
  try {
    findScore(score);
  } catch (error) {
    if (error instanceof UsageError) throw new DataError(`${source}: ${error.message}: update energate`);
    throw error;
  }
  return {
    network: decodeNetwork({ tensors: parts('network.'), metadata }, source),
    ...{ precision, score, temperature, epsilon, accept },
    fit: Object.keys(fit).length > 0 ? fit : undefined,
    calibration: {
      scores: calibration.get('scores')!.data as Float64Array,
      labels: calibration.get('labels')?.data as Int32Array | undefined,
    },
  };
}

async function checkDigest(bytes: Uint8Array, digest: string | undefined, source: string): Promise<void> {
  // The digest stands once in the header, as ASCII; nothing in front of it can hold one by chance.
  const header = new TextDecoder('latin1').decode(bytes.subarray(0, Math.min(bytes.length, 1 << 20)));
  const at = digest?.length === 64 ? header.indexOf(digest) : -1;
  const blanked = bytes.slice();
  if (at >= 0) blanked.set(new TextEncoder().encode(BLANK), at);
  if (at < 0 || (await sha256(blanked)) !== digest) {
    throw new DataError(`${source}: its contents do not match its checksum: the file is damaged, copy it again`);
  }
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
