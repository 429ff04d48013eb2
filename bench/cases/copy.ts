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
