import type { SubgroupMatrices } from '../kernels/dispatch.js';

/** What matrix units need of a device: the last is an experiment of Dawn's that the types of WebGPU do not know. */
export const MATRIX_FEATURES = [
  'shader-f16',
  'subgroups',
  'chromium-experimental-subgroup-matrix',
] as readonly string[] as readonly GPUFeatureName[];

/** What adapters tell of their matrix units: each product [M, K] by [K, N] that they compute. */
export interface MatrixAdapterInfo {
  readonly subgroupMinSize?: number;
  readonly subgroupMaxSize?: number;
  readonly subgroupMatrixConfigs?: readonly {
    readonly componentType: string;
    readonly resultComponentType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }[];
}

/** Sides of matrices that kernels can be made of. */
const SIDES: readonly number[] = [8, 16];

/** Sizes of a subgroup, where four make up a workgroup. */
const LANES: readonly number[] = [8, 16, 32, 64];

/**
 * The largest product of float16 with sums in float32 that kernels can be made of; undefined where there is none, or where the
 * features are not all there, or where subgroups have several sizes, as kernels are written for one.
 */
export function matricesOf(
  features: ReadonlySet<string>,
  { subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs = [] }: MatrixAdapterInfo,
): SubgroupMatrices | undefined {
  const lanes = LANES.find((size) => size === subgroupMinSize && size === subgroupMaxSize);
  if (lanes === undefined || !MATRIX_FEATURES.every((feature) => features.has(feature))) return undefined;
  const [largest] = [...subgroupMatrixConfigs]
    .filter(({ componentType, resultComponentType }) => componentType === 'f16' && resultComponentType === 'f32')
    .filter(({ M, N, K }) => [M, N, K].every((side) => SIDES.includes(side)))
    .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
  return largest && { height: largest.M, width: largest.N, terms: largest.K, lanes };
}
