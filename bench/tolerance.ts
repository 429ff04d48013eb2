import type { Case } from './workloads.js';

/**
 * How far results may be from energate's at least, norm over norm, where an engine's arithmetic is not plain float32: those of a
 * kernel, and the gradients of a whole network, where rounding moves ReLUs across zero. Cases may allow more.
 */
const ALLOWANCES: Readonly<
  Record<string, { readonly kernel: number; readonly network: number; readonly loss: number }>
> = {
  // It may take Winograd's algorithm.
  'cuDNN float32': { kernel: 1e-4, network: 5e-3, loss: 1e-4 },
  float16: { kernel: 0.02, network: 0.3, loss: 0.01 },
  bfloat16: { kernel: 0.05, network: 0.6, loss: 0.03 },
};

/** A step's loss in float32: rounding that moves a ReLU moves it little. */
const LOSS_TOLERANCE = 1e-4;

/** How far an engine's results may be: as the case says, or more where its arithmetic needs more. */
export function toleranceOf({ kind, tolerance }: Case, arithmetic: string): number {
  const allowed = ALLOWANCES[arithmetic];
  return allowed ? Math.max(tolerance, kind === 'step' ? allowed.network : allowed.kernel) : tolerance;
}

/** The same by result: a step's first is its loss, which is held to more than its gradients are. */
export function tolerancesOf(work: Case, arithmetic: string): (result: number) => number {
  const all = toleranceOf(work, arithmetic);
  const loss = ALLOWANCES[arithmetic]?.loss ?? LOSS_TOLERANCE;
  return (result) => (work.kind === 'step' && result === 0 ? Math.min(loss, all) : all);
}
