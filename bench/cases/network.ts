import { blocksOf, featuresOf } from '../../src/nn/network.js';
import type { CaseOf, NetworkWorkload } from '../workloads.js';
import type { Scale } from './index.js';

/**
 * Gradients pass through every layer, and rounding moves ReLUs near zero to the other side: of 96 images, PyTorch's float32 in one
 * layout or the other is 3e-4, 2e-3 and 1e-2 from its float64. What is wrong by as little shows in the shallower networks.
 */
const NETWORKS = [
  { network: { depth: 10, width: 1, classes: 10 }, tolerance: 1e-3 },
  { network: { depth: 16, width: 2, classes: 10 }, tolerance: 1e-2 },
  { network: { depth: 40, width: 2, classes: 10 }, tolerance: 5e-2 },
];

/**
 * The scoring pass and the whole energy fine-tuning step of three WideResNets. None in `--quick`: jax-js takes the better part of a
 * minute to compile either, and so does energate on a software adapter.
 */
export function networks({ quick, inCount, outCount }: Scale): (CaseOf<'score'> | CaseOf<'step'>)[] {
  const batch = inCount + outCount;
  return (quick ? [] : NETWORKS).flatMap(({ network, tolerance }) => {
    const flops = forwardFlops(network) * batch;
    const score: CaseOf<'score'> = {
      name: `score WRN-${network.depth}-${network.width}, ${batch} images`,
      kind: 'score',
      parameters: { ...network, batch },
      flops,
      tolerance: 1e-4,
    };
    return [
      score,
      {
        name: `energy step WRN-${network.depth}-${network.width}, ${inCount} + ${outCount} images`,
        kind: 'step',
        parameters: { ...network, inCount, outCount },
        flops: 3 * flops,
        tolerance,
      },
    ];
  });
}

/** Of one image, in convolutions and fc. */
function forwardFlops(network: NetworkWorkload): number {
  let side = 32;
  let flops = 2 * side ** 2 * 9 * 3 * 16;
  for (const { inChannels, outChannels, stride } of blocksOf(network)) {
    side /= stride;
    const shortcut = inChannels === outChannels ? 0 : inChannels;
    flops += 2 * side ** 2 * outChannels * (9 * inChannels + 9 * outChannels + shortcut);
  }
  return flops + 2 * featuresOf(network) * network.classes;
}
