import type { Case } from './workloads.js';

/**
 * How far results may be from energate's at least, norm over norm, where an engine's arithmetic is not plain float32: those of a
 * kernel, and the gradients of a whole network, where rounding moves ReLUs across zero. Cases may allow more.
 */
const ALLOWANCES: Readonly<Record<string, { readonly kernel: number; readonly network: number }>> = {
  // It may take Winograd's algorithm.
  'cuDNN float32': { kernel: 1e-4, network: 5e-3 },
  float16: { kernel: 0.02, network: 0.3 },
  bfloat16: { kernel: 0.05, network: 0.6 },
};

/** How far an engine's results may be: as the case says, or more where its arithmetic needs more. */
export function toleranceOf({ kind, tolerance }: Case, arithmetic: string): number {
  const allowed = ALLOWANCES[arithmetic];
  return allowed ? Math.max(tolerance, kind === 'step' ? allowed.network : allowed.kernel) : tolerance;
}
