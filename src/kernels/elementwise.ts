import { type Dispatch, grid, striding, vectorWidth, WORKGROUP } from './dispatch.js';

/** Constants and workgroups of a kernel over vectors of `size` elements. */
function vectors(size: number): Pick<Dispatch<unknown>, 'constants' | 'workgroups'> {
  const width = vectorWidth(size);
  const { constants, workgroups } = striding(size / width);
  return { constants: { WIDTH: width, SIZE: size, ...constants }, workgroups };
}

/** y = a + b, `size` elements each. */
export function add<B>(size: number, { a, b, y }: { a: B; b: B; y: B }): Dispatch<B> {
  return { shader: 'add', bindings: [a, b, y], ...vectors(size) };
}

/** y = max(x, 0), `size` elements. */
export function relu<B>(size: number, { x, y }: { x: B; y: B }): Dispatch<B> {
  return { shader: 'relu', bindings: [x, y], ...vectors(size) };
}

/** y = min(x, most[0]), `size` elements. */
export function clip<B>(size: number, { x, most, y }: { x: B; most: B; y: B }): Dispatch<B> {
  return { shader: 'clip', bindings: [x, most, y], ...vectors(size) };
}

/** y = gradient where x > 0, else 0; x is ReLU's input. */
export function reluBackward<B>(size: number, { x, gradient, y }: { x: B; gradient: B; y: B }): Dispatch<B> {
  return { shader: 'relu_backward', bindings: [x, gradient, y], ...vectors(size) };
}

/**
 * Inverted dropout of probability `rate`, and its own backward: the mask depends on `step` (u32 [4]: number, seed, .., stream)
 * and the element's index alone.
 */
export function dropout<B>(
  { size, rate }: { size: number; rate: number },
  { x, step, y }: { x: B; step: B; y: B },
): Dispatch<B> {
  return {
    shader: 'dropout',
    constants: { SIZE: size, DROPOUT: rate, WORKGROUP },
    bindings: [x, step, y],
    workgroups: grid(size),
  };
}
