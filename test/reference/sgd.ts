/** SGD with Nesterov momentum and weight decay, as PyTorch's, in float64. */

export interface SgdOptions {
  lr: number;
  momentum: number;
  weightDecay: number;
}

/**
 * One step: g = gradient + weightDecay·w; v = momentum·velocity + g; w - lr·(g + momentum·v).
 * PyTorch's first step sets v = g, which a velocity of zeros gives too.
 */
export function sgdStep(
  weights: Float64Array,
  gradient: Float64Array,
  velocity: Float64Array,
  { lr, momentum, weightDecay }: SgdOptions,
): { weights: Float64Array; velocity: Float64Array } {
  const g = gradient.map((value, i) => value + weightDecay * weights[i]!);
  const v = g.map((value, i) => momentum * velocity[i]! + value);
  return { weights: weights.map((w, i) => w - lr * (g[i]! + momentum * v[i]!)), velocity: v };
}
