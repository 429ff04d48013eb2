import { type Dispatch, striding, vectorWidth } from './dispatch.js';

/**
 * Note in `halted` (u32) the number of the first step in which any of `size` elements of `x`, or of `second` of `y` where that
 * is given, was NaN or infinite.
 */
export function checkFinite<B>(
  { size, second = 0 }: { size: number; second?: number },
  { x, y, step, halted }: { x: B; y?: B | undefined; step: B; halted: B },
): Dispatch<B> {
  const width = Math.min(vectorWidth(size), vectorWidth(second));
  const { constants, workgroups } = striding((size + second) / width);
  return {
    shader: 'check_finite',
    constants: { WIDTH: width, SIZE: size, SECOND: second, PAIR: y !== undefined, ...constants },
    bindings: y === undefined ? [x, step, halted] : [x, y, step, halted],
    workgroups,
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
  const width = vectorWidth(size);
  const { constants, workgroups } = striding(size / width);
  return {
    shader: 'sgd',
    constants: { WIDTH: width, SIZE: size, MOMENTUM: momentum, WEIGHT_DECAY: weightDecay, ...constants },
    bindings: [gradient, step, halted, w, velocity],
    workgroups,
  };
}
