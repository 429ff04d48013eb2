import { DataError } from '../errors.js';
import { type NdArray, quote } from './array.js';
import { readNpy, writeNpy } from './npy.js';
import { readZip, writeZip } from './zip.js';

/** The arrays of a .npz file, each read when asked for. */
export interface Npz {
  readonly names: readonly string[];
  has(name: string): boolean;
  /** @throws {DataError} if there is no such array, or it is damaged or not of numbers. */
  get(name: string): NdArray;
}

/**
 * A NumPy .npz file, stored (`numpy.savez`) or deflated (`numpy.savez_compressed`). Arrays of a stored file may share the
 * memory of `bytes`.
 * @throws {DataError} if `bytes` is not a whole zip archive of less than 4 GB.
 */
export function readNpz(bytes: Uint8Array, fileName: string): Npz {
  const archive = readZip(bytes, fileName);
  const names = archive.names.filter((name) => name.endsWith('.npy')).map((name) => name.slice(0, -4));
  const known = new Set(names);
  return {
    names,
    has: (name) => known.has(name),
    get(name) {
      if (!known.has(name)) {
        throw new DataError(`${fileName} has no array '${name}'; it holds: ${quote(names.join(', ')) || 'no array'}`);
      }
      return readNpy(archive.read(`${name}.npy`), `${fileName}: ${quote(name)}`);
    },
  };
}

/** A .npz file that NumPy reads, not compressed. Equal arrays give equal bytes. */
export function writeNpz(entries: Readonly<Record<string, NdArray>>): Uint8Array {
  const files = Object.entries(entries).map(([name, array]) => [`${name}.npy`, writeNpy(array)] as const);
  return writeZip(new Map(files), 64);
}
