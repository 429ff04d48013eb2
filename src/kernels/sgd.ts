import { type Dispatch, grid, vectorWidth, WORKGROUP } from './dispatch.js';

/**
 * Note in `halted` (u32) the number of the first step in which any of `size` elements of `x`, or of `second` of `y` where that
 * is given, was NaN or infinite.
 */
export function checkFinite<B>(
  { size, second = 0 }: { size: number; second?: number },
  { x, y, step, halted }: { x: B; y?: B | undefined; step: B; halted: B },
): Dispatch<B> {
  return {
    shader: 'check_finite',
    constants: { SIZE: size, SECOND: second, PAIR: y !== undefined, WORKGROUP },
    bindings: y === undefined ? [x, step, halted] : [x, y, step, halted],
    workgroups: grid(size + second),
  };
}

/**
 * SGD with Nesterov momentum and weight decay as PyTorch defines them, over all `size` parameters at once. The learning
 * rate is step[2]; `velocity` is the momentum buffer. Changes nothing once halted.
 */
export function sgd<B>(
  { size, momentum, weightDecay }: { size: number; momentum: number; weightDecay: number },
  { gradient, step, halted, w, velocity }: { gradient: B; step: B; halted: B; w: B; velocity: B },
): Dispatch<B> {
  return {
    shader: 'sgd',
    constants: { WIDTH: vectorWidth(size), SIZE: size, MOMENTUM: momentum, WEIGHT_DECAY: weightDecay, WORKGROUP },
    bindings: [gradient, step, halted, w, velocity],
    workgroups: grid(size / vectorWidth(size)),
  };
}
