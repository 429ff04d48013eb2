import type { CaseOf } from '../workloads.js';
import type { Scale } from './index.js';

/** Passes over the activations: statistics and apply read x, apply writes y; backward reads x and the gradient twice, and writes once. */
const PASSES = { forward: 3, backward: 5 };

/** Training-mode batch norm and ReLU on the activations of WRN-40-2. */
export function batchNorms({ quick, inCount, outCount }: Scale): CaseOf<'batchNorm'>[] {
  const shapes = [
    { side: 32, channels: 32 },
    { side: 16, channels: 64 },
    { side: 8, channels: 128 },
  ];
  return shapes.slice(0, quick ? 1 : 3).flatMap(({ side, channels }) =>
    [false, true].map((backward) => {
      const batch = inCount + outCount;
      const passes = PASSES.forward + (backward ? PASSES.backward : 0);
      return {
        name: `batch norm + relu ${side}x${side}x${channels} ${backward ? 'forward + backward' : 'forward'}`,
        kind: 'batchNorm',
        parameters: { batch, side, channels, backward },
        bytes: passes * batch * side * side * channels * 4,
        // A ReLU that rounding moves across zero is a gradient that is there or not: a few of millions.
        tolerance: backward ? 2e-3 : 1e-4,
      };
    }),
  );
}
