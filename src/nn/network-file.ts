import { NORMALIZATIONS } from '../data/normalization.js';
import { DataError } from '../errors.js';
import { writeSafetensors } from '../formats/safetensors.js';
import type { StateDict } from '../formats/state-dict.js';
import type { Normalization } from '../kernels/gather-images.js';
import { type Network, networkFromState, stateDictOf } from './network.js';

/** What a network file says beside its tensors: how big the network is can be seen from these, the rest cannot. */
export function networkMetadata({ config, normalization, classNames }: Network): Record<string, string> {
  return {
    format: 'pt', // what other readers of safetensors expect of PyTorch's layouts
    network: JSON.stringify({ kind: 'wide-resnet', ...config }),
    normalization: JSON.stringify(normalization),
    ...(classNames ? { class_names: JSON.stringify(classNames) } : {}),
  };
}

/** A network as a safetensors file: PyTorch's names and layouts, with network, normalisation and class names as metadata. */
export function encodeNetwork(network: Network): Uint8Array {
  return writeSafetensors(stateDictOf(network), networkMetadata(network));
}

/**
 * The network in a weight file, energate's or PyTorch's.
 * @param fileName what to call it in messages
 * @param normalization how pixels are normalised; by default what the file says, or CIFAR's if it says nothing
 * @throws DataError where the file does not hold a WideResNet, or holds NaN
 */
export function decodeNetwork(
  { tensors, metadata }: Pick<StateDict, 'tensors' | 'metadata'>,
  fileName: string,
  normalization: Normalization | undefined = readNormalization(metadata, fileName),
): Network {
  return networkFromState(tensors, fileName, {
    normalization: normalization ?? NORMALIZATIONS.cifar,
    classNames: readClassNames(metadata, fileName),
  });
}

function readNormalization(metadata: Record<string, string>, fileName: string): Normalization | undefined {
  const value = parse(metadata.normalization, fileName, 'normalization') as Partial<Normalization> | undefined;
  if (value === undefined) return undefined;
  const isTriple = (triple: unknown): boolean =>
    Array.isArray(triple) && triple.length === 3 && triple.every((number) => Number.isFinite(number));
  if (!isTriple(value?.mean) || !isTriple(value?.std) || value.std!.some((number) => number <= 0)) {
    throw new DataError(
      `${fileName}: its metadata's normalization is not {mean: [r, g, b], std: [r, g, b]}: give --normalize`,
    );
  }
  return value as Normalization;
}

function readClassNames(metadata: Record<string, string>, fileName: string): string[] | undefined {
  const value = parse(metadata.class_names, fileName, 'class_names');
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || !value.every((name) => typeof name === 'string')) {
    throw new DataError(`${fileName}: its metadata's class_names is not a list of names: write the file again`);
  }
  // Where they are printed they must not end the line, nor talk to the terminal.
  return value.map((name) => name.replace(/\p{Cc}/gu, '?'));
}

function parse(text: string | undefined, fileName: string, field: string): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new DataError(`${fileName}: its metadata's ${field} is not JSON: write the file again`);
  }
}
