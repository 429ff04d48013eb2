import { type DeviceTraits, type Dispatch, grid, sharing, vectorWidth, WORKGROUP } from './dispatch.js';

/** Summands from which on several invocations share a sum. */
const LEAST_SHARED = 32;

/**
 * y[i] = sum over s of x[s, i]: `x` is [count, size]. In order of s, and with `workgroupMemory` for GPUs, which share long sums.
 */
export function sumLeading<B>(
  { count, size }: { count: number; size: number },
  { x, y }: { x: B; y: B },
  { workgroupMemory = false }: DeviceTraits = {},
): Dispatch<B> {
  const vectors = size / vectorWidth(size);
  const shared = sharing(workgroupMemory && count >= LEAST_SHARED);
  return {
    shader: 'sum_leading',
    constants: { WIDTH: vectorWidth(size), COUNT: count, SIZE: size, ...shared, WORKGROUP },
    bindings: [x, y],
    workgroups: grid(vectors * shared.LANES),
  };
}

/** [batch, positions, channels], height and width joined. */
export interface PoolShape {
  readonly batch: number;
  readonly positions: number;
  readonly channels: number;
}

const poolConstants = ({ batch, positions, channels }: PoolShape) => ({
  BATCH: batch,
  POSITIONS: positions,
  CHANNELS: channels,
  WORKGROUP,
});

/** Whether activations, [batch, positions, channels], are stored as float16. */
interface PoolStorage {
  readonly float16?: boolean | undefined;
}

/** Mean over positions: `x` [batch, positions, channels] to `y` [batch, channels]. */
export function globalAveragePool<B>(
  shape: PoolShape,
  { x, y }: { x: B; y: B },
  { float16 = false }: PoolStorage = {},
): Dispatch<B> {
  return {
    shader: 'global_average_pool',
    constants: { ...poolConstants(shape), HALF: float16 },
    bindings: [x, y],
    workgroups: [Math.ceil((shape.batch * shape.channels) / WORKGROUP), 1, 1],
  };
}

/** Gradient of {@link globalAveragePool}: `gradient` [batch, channels] to `y` [batch, positions, channels]. */
export function globalAveragePoolBackward<B>(
  shape: PoolShape,
  { gradient, y }: { gradient: B; y: B },
  { float16 = false }: PoolStorage = {},
): Dispatch<B> {
  return {
    shader: 'global_average_pool_backward',
    constants: { ...poolConstants(shape), HALF: float16 },
    bindings: [gradient, y],
    workgroups: grid(shape.batch * shape.positions * shape.channels),
  };
}
