import { type Dispatch, striding, vectorWidth } from './dispatch.js';

/** Numbers of an array that one dispatch takes, and the width of its vectors. */
interface Stretch {
  readonly first: number;
  readonly size: number;
  readonly width: 1 | 4;
}

/** All of `size` numbers: in vectors of four, and the few that are left. */
function stretches(size: number): Stretch[] {
  const whole = size - (size % 4);
  const both: readonly Stretch[] = [
    { first: 0, size: whole, width: 4 },
    { first: whole, size, width: 1 },
  ];
  return both.filter(({ first, size }) => first < size);
}

/**
 * Note in `halted` (u32) the number of the first step in which any of `size` elements of `x`, or of `second` of `y` where that
 * is given, was NaN or infinite.
 */
export function checkFinite<B>(
  { size, second = 0 }: { size: number; second?: number },
  { x, y, step, halted }: { x: B; y?: B | undefined; step: B; halted: B },
): Dispatch<B>[] {
  const check = ({ first, size, width }: Stretch): Dispatch<B> => {
    const { constants, workgroups } = striding((size - first + second) / width);
    return {
      shader: 'check_finite',
      constants: { WIDTH: width, FIRST: first, SIZE: size, SECOND: second, PAIR: y !== undefined, ...constants },
      bindings: y === undefined ? [x, step, halted] : [x, y, step, halted],
      workgroups,
    };
  };
  if (y === undefined) return stretches(size).map(check);
  return [check({ first: 0, size, width: vectorWidth(size) === 4 ? vectorWidth(second) : 1 })];
}

/**
 * SGD with Nesterov momentum and weight decay as PyTorch defines them, over all `size` parameters at once. The learning
 * rate is step[2]; `velocity` is the momentum buffer; `gradient` is `lossScale` times too large. Changes nothing once halted.
 */
export function sgd<B>(
  {
    size,
    momentum,
    weightDecay,
    lossScale = 1,
  }: { size: number; momentum: number; weightDecay: number; lossScale?: number | undefined },
  { gradient, step, halted, w, velocity }: { gradient: B; step: B; halted: B; w: B; velocity: B },
): Dispatch<B>[] {
  return stretches(size).map(({ first, size, width }) => {
    const { constants, workgroups } = striding((size - first) / width);
    return {
      shader: 'sgd',
      constants: {
        WIDTH: width,
        FIRST: first,
        SIZE: size,
        SCALE: 1 / lossScale,
        MOMENTUM: momentum,
        WEIGHT_DECAY: weightDecay,
        ...constants,
      },
      bindings: [gradient, step, halted, w, velocity],
      workgroups,
    };
  });
}
