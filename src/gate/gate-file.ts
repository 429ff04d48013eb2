import { DataError, UsageError } from '../errors.js';
import { type NdArray, quote, toFloat32 } from '../formats/array.js';
import { sha256 } from '../formats/digest.js';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.js';
import { featuresOf, type Network, stateDictOf } from '../nn/network.js';
import { decodeNetwork, networkMetadata } from '../nn/network-file.js';
import { checkScoreState, findScore, isTemperature, SCORES, type ScoreState } from '../ood/scores.js';
import { calibratorsOf, type Gate, half, isHalved } from './gate.js';

const FORMAT = 'energate-gate';
const VERSION = '1';
const METHOD = 'split conformal prediction on the score; bounds: Beta(n + 1 - k, k), k the rank of the threshold';
/** What the digest stands for itself while the file is digested. */
const BLANK = '0'.repeat(64);

/**
 * A gate as one file: safetensors, whose metadata say how it decides and what its threshold is worth. The format is
 * described in docs/gate-file.md. Equal gates give equal bytes.
 * @throws UsageError where `precision` is float16 and the weights are not rounded to it (see `atPrecision`)
 */
export async function encodeGate(gate: Gate): Promise<Uint8Array> {
  const tensors = new Map<string, NdArray>();
  for (const [name, array] of stateDictOf(gate.network)) {
    const halved = gate.precision === 'float16' && isHalved(name);
    tensors.set(`network.${name}`, halved ? rounded(name, array) : array);
  }
  for (const [name, array] of Object.entries(gate.fit ?? {})) tensors.set(`fit.${name}`, array);
  const { scores, labels } = gate.calibration;
  tensors.set('calibration.scores', { dtype: 'float64', shape: [scores.length], data: scores });
  if (labels) tensors.set('calibration.labels', { dtype: 'int32', shape: [labels.length], data: labels });

  const { format: _, ...network } = networkMetadata(gate.network);
  const { score, temperature, epsilon, accept, precision } = gate;
  const metadata = {
    format: FORMAT,
    version: VERSION,
    sha256: BLANK,
    ...network,
    gate: JSON.stringify({
      ...{ score, temperature, epsilon, accept, precision },
      n: scores.length,
      ...statements(gate),
      method: METHOD,
    }),
  };
  const digest = await sha256(writeSafetensors(tensors, metadata));
  return writeSafetensors(tensors, { ...metadata, sha256: digest });
}

/**
 * What {@link encodeGate} wrote. All of it is checked: nobody vouches for who made the file, so a digest that fits says only
 * that it arrived as it was made.
 * @param source what to call the file in messages
 * @throws DataError where it is no gate, of another version, damaged, or its parts do not fit each other
 */
export async function decodeGate(file: Uint8Array, source: string): Promise<Gate> {
  // The gate's own: its scores share this memory, and the digest is blanked in it. (A Buffer's slice would be no copy.)
  const bytes = new Uint8Array(file);
  const { tensors, metadata } = readSafetensors(bytes, source);
  if (metadata.format !== FORMAT) {
    throw new DataError(`${source} is not a gate; make one with energate calibrate`);
  }
  if (metadata.version !== VERSION) {
    throw new DataError(
      `${source} is a gate of version ${quote(String(metadata.version))}, but this reads version ${VERSION}; update energate`,
    );
  }
  await checkDigest(bytes, metadata.sha256, source);
  const parts = { network: new Map(), fit: new Map(), calibration: new Map() } as Record<string, Map<string, NdArray>>;
  for (const [name, array] of tensors) {
    const at = name.indexOf('.');
    const part = Object.hasOwn(parts, name.slice(0, at)) && parts[name.slice(0, at)];
    if (!part) throw new DataError(`${source} holds ${quote(name)}, which belongs to no gate; make it again`);
    part.set(name.slice(at + 1), array);
  }
  const said = readSaid(metadata.gate, source);
  const network = readNetwork(parts.network!, metadata, source);
  const { score, temperature, epsilon, accept, precision } = said;
  const gate: Gate = {
    network,
    ...{ precision, score, temperature, epsilon, accept },
    fit: readFit(score, parts.fit!, network, source),
    calibration: readCalibration(parts.calibration!, network, source),
  };
  checkStatements(gate, said, source);
  return gate;
}

/** What follows from a gate's calibration, for those who read the file without energate. */
function statements(gate: Gate) {
  const calibrators = calibratorsOf(gate, gate.accept);
  return {
    thresholds: calibrators.map(({ threshold }) => threshold),
    acceptance_bounds_95: calibrators.map((calibrator) => {
      const { lower, upper } = calibrator.bounds(0.95);
      return [lower, upper];
    }),
  };
}

function rounded(name: string, { shape, data }: NdArray): NdArray {
  const array = half(shape, data as Float32Array);
  const back = toFloat32(array);
  if (!back.every((value, i) => value === data[i])) {
    throw new UsageError(`${name} is not rounded to float16: calibrate and write what atPrecision(network) gives`);
  }
  return array;
}

/** The metadata's `gate`. */
interface Said extends Pick<Gate, 'precision' | 'score' | 'temperature' | 'epsilon' | 'accept'> {
  readonly n: number;
  readonly thresholds: readonly number[];
  readonly acceptance_bounds_95: readonly (readonly [number, number])[];
}

function parseObject(text: string | undefined, name: string, source: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '');
  } catch {
    throw new DataError(`${source}: its metadata's ${name} is not JSON; make it again`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DataError(`${source}: its metadata's ${name} is not a JSON object; make it again`);
  }
  return value as Record<string, unknown>;
}

function readSaid(text: string | undefined, source: string): Said {
  const said = parseObject(text, 'gate', source);
  if (typeof said.score === 'string' && !Object.hasOwn(SCORES, said.score)) {
    throw new DataError(
      `${source} decides by the score '${quote(said.score)}', which this does not know; update energate`,
    );
  }
  const wanted: Readonly<Record<keyof Said, readonly [fits: boolean, what: string]>> = {
    score: [typeof said.score === 'string', 'a name'],
    precision: [said.precision === 'float32' || said.precision === 'float16', 'float32 or float16'],
    temperature: [
      said.temperature === undefined || isTemperature(said.temperature),
      'a number above 0 that float32 computes with',
    ],
    epsilon: [
      said.epsilon === undefined || said.epsilon === 0 || isBetween(said.epsilon, 0, Infinity),
      'a number of 0 or more',
    ],
    accept: [isBetween(said.accept, 0, 1), 'a number between 0 and 1'],
    n: [Number.isSafeInteger(said.n), 'a whole number'],
    thresholds: [Array.isArray(said.thresholds) && said.thresholds.every(Number.isFinite), 'a list of numbers'],
    acceptance_bounds_95: [
      Array.isArray(said.acceptance_bounds_95) &&
        said.acceptance_bounds_95.every(
          (pair) => Array.isArray(pair) && pair.length === 2 && pair.every(Number.isFinite),
        ),
      'a list of pairs of numbers',
    ],
  };
  for (const [name, [fits, what]] of Object.entries(wanted)) {
    if (!fits) throw new DataError(`${source}: its metadata's gate.${name} is not ${what}; make it again`);
  }
  return said as unknown as Said;
}

const isBetween = (value: unknown, low: number, high: number): boolean =>
  typeof value === 'number' && value > low && value < high;

function readNetwork(tensors: ReadonlyMap<string, NdArray>, metadata: Record<string, string>, source: string): Network {
  for (const name of ['network', 'normalization']) {
    if (metadata[name] === undefined) throw new DataError(`${source} has no ${name} in its metadata; make it again`);
  }
  const network = decodeNetwork({ tensors: new Map(tensors), metadata }, source);
  const { config } = network;
  const described = parseObject(metadata.network, 'network', source);
  if (Object.entries({ kind: 'wide-resnet', ...config }).some(([key, value]) => described[key] !== value)) {
    throw new DataError(`${source}: its metadata's network is not the one that its tensors make; make it again`);
  }
  const { classNames } = network;
  if (classNames && classNames.length !== config.classes) {
    throw new DataError(
      `${source} names ${classNames.length} classes, but its network has ${config.classes}; make it again`,
    );
  }
  return network;
}

function readFit(
  score: string,
  tensors: ReadonlyMap<string, NdArray>,
  { config }: Network,
  source: string,
): ScoreState | undefined {
  const state = Object.fromEntries(tensors);
  const sizes = { size: featuresOf(config), classes: config.classes };
  checkScoreState(score, findScore(score), state, sizes, source);
  return tensors.size > 0 ? state : undefined;
}

function readCalibration(
  tensors: ReadonlyMap<string, NdArray>,
  { config }: Network,
  source: string,
): Gate['calibration'] {
  const extra = [...tensors.keys()].find((name) => name !== 'scores' && name !== 'labels');
  if (extra !== undefined)
    throw new DataError(`${source} holds calibration.${quote(extra)}, which is not known here; update energate`);
  const scores = tensors.get('scores');
  if (scores?.dtype !== 'float64' || scores.shape.length !== 1) {
    throw new DataError(`${source}: calibration.scores must be a list of float64; make it again`);
  }
  const labels = tensors.get('labels');
  if (labels) {
    const fits = labels.dtype === 'int32' && labels.shape.length === 1 && labels.shape[0] === scores.shape[0];
    const classes = labels.data as Int32Array;
    if (!fits || !classes.every((label) => label >= 0 && label < config.classes)) {
      throw new DataError(
        `${source}: calibration.labels must be int32 of 0 to ${config.classes - 1}, one a score; make it again`,
      );
    }
  }
  return { scores: scores.data as Float64Array, labels: labels?.data as Int32Array | undefined };
}

/** What the file says of its threshold must be what its scores give. */
function checkStatements(gate: Gate, said: Said, source: string): void {
  let made: ReturnType<typeof statements>;
  try {
    made = statements(gate);
  } catch (error) {
    throw new DataError(`${source}: its calibration gives no threshold (${(error as Error).message}); make it again`, {
      cause: error,
    });
  }
  const close = (a: readonly number[], b: readonly number[], tolerance: number) =>
    a.length === b.length && a.every((value, i) => Math.abs(value - b[i]!) <= tolerance);
  // Logarithms may differ in their last bits between JavaScript engines.
  const fits =
    said.n === gate.calibration.scores.length &&
    close(made.thresholds, said.thresholds, 0) &&
    close(made.acceptance_bounds_95.flat(), said.acceptance_bounds_95.flat(), 1e-9);
  if (!fits) {
    throw new DataError(
      `${source}: its metadata's thresholds, bounds or n are not those of its calibration scores; make it again`,
    );
  }
}

/** SHA-256 of the file, with the digest itself as zeros, as it is left: it covers thresholds and names as well as tensors. */
async function checkDigest(bytes: Uint8Array, digest: string | undefined, source: string): Promise<void> {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = new TextDecoder('latin1').decode(bytes.subarray(8, 8 + length));
  // Its first place: in a file that encodeGate wrote, only `format` and `version` are in front of it.
  const at = digest?.length === 64 ? header.indexOf(digest) : -1;
  if (at >= 0) bytes.set(new TextEncoder().encode(BLANK), 8 + at);
  if (at < 0 || (await sha256(bytes)) !== digest) {
    throw new DataError(`${source} does not match its checksum; the file is damaged, copy it again`);
  }
}
