import type { CaseOf } from '../workloads.js';
import type { Scale } from './index.js';

const MIB = 2 ** 20;

/** Copies of several sizes: the ceiling of what is bound by memory, with caches and without. */
export function copies({ quick }: Scale): CaseOf<'copy'>[] {
  return (quick ? [1, 16] : [1, 16, 128]).map((size) => ({
    name: `copy ${size} MiB`,
    kind: 'copy',
    parameters: { bytes: size * MIB },
    bytes: 2 * size * MIB,
    tolerance: 0,
  }));
}

/** Of the same sizes, read and written by a kernel: what a kernel can reach of the ceiling at all. */
export function relus(scale: Scale): CaseOf<'relu'>[] {
  return copies(scale).map(({ parameters: { bytes }, ...work }) => ({
    ...work,
    name: `relu ${bytes / MIB} MiB`,
    kind: 'relu',
    parameters: { size: bytes / 4 },
  }));
}
