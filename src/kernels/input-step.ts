import { type Dispatch, grid, WORKGROUP } from './dispatch.js';

/** ODIN's seed: the gradient of CE(logits / T, argmax) with respect to `logits`; both [rows, classes]. */
export function odinSeed<B>(
  { rows, classes, temperature }: { rows: number; classes: number; temperature: number },
  { logits, gradient }: { logits: B; gradient: B },
): Dispatch<B> {
  return {
    shader: 'odin_seed',
    constants: { ROWS: rows, CLASSES: classes, TEMPERATURE: temperature, WORKGROUP },
    bindings: [logits, gradient],
    workgroups: [Math.ceil(rows / WORKGROUP), 1, 1],
  };
}

/** residual[n] = z[n] - the nearest of `means`: z and residual are [rows, size], `means` is [count, size]. */
export function nearestMean<B>(
  { rows, count, size }: { rows: number; count: number; size: number },
  { z, means, residual }: { z: B; means: B; residual: B },
): Dispatch<B> {
  return {
    shader: 'nearest_mean',
    constants: { ROWS: rows, MEANS: count, SIZE: size, WORKGROUP },
    bindings: [z, means, residual],
    workgroups: [Math.ceil(rows / WORKGROUP), 1, 1],
  };
}

/** y = x - epsilon sign(gradient) / std of the channel, with sign(0) = 1: `count` elements, 3 channels last. */
export function inputStep<B>(
  { count, epsilon, std }: { count: number; epsilon: number; std: readonly [number, number, number] },
  { x, gradient, y }: { x: B; gradient: B; y: B },
): Dispatch<B> {
  return {
    shader: 'input_step',
    constants: { COUNT: count, EPSILON: epsilon, STD: std, WORKGROUP },
    bindings: [x, gradient, y],
    workgroups: grid(count),
  };
}
