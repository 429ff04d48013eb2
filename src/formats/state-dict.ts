import { DataError } from '../errors.js';
import type { NdArray } from './array.js';
import { readSafetensors } from './safetensors.js';
import { looksLikeTorch, readTorch, stateDict } from './torch.js';

/** A network's tensors by name, as a weight file holds them. */
export interface StateDict {
  readonly tensors: Map<string, NdArray>;
  /** Of a safetensors file; PyTorch's files have none. */
  readonly metadata: Record<string, string>;
  readonly format: 'safetensors' | 'torch';
}

/**
 * Reads a weight file by its content, whatever its extension: safetensors, or either of PyTorch's formats.
 * @throws {DataError} if it is neither, or damaged.
 */
export function readStateDict(bytes: Uint8Array, fileName: string): StateDict {
  if (looksLikeTorch(bytes)) {
    return { tensors: stateDict(readTorch(bytes, fileName), fileName), metadata: {}, format: 'torch' };
  }
  const headerStart = 8;
  if (bytes[headerStart] === '{'.charCodeAt(0)) return { ...readSafetensors(bytes, fileName), format: 'safetensors' };
  throw new DataError(`${fileName} is not a weight file; give a .safetensors file, or one written by torch.save`);
}
