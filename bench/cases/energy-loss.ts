import type { CaseOf } from '../workloads.js';
import type { Scale } from './index.js';

/** In `--quick`: a batch, and the two that have bars. */
const QUICK = ['384x10', '4096x1000', '65536x10'];

/** The energy loss and its gradient. The logits must be read once and the gradient written once. */
export function energyLosses({ quick }: Scale): CaseOf<'energyLoss'>[] {
  const sizes = [384, 4096, 65536].flatMap((rows) => [10, 100, 1000].map((classes) => ({ rows, classes })));
  return sizes
    .filter(({ rows, classes }) => !quick || QUICK.includes(`${rows}x${classes}`))
    .map(({ rows, classes }) => {
      const inCount = Math.floor(rows / 3);
      return {
        name: `energy loss + gradient ${rows}x${classes}`,
        kind: 'energyLoss',
        parameters: { inCount, outCount: rows - inCount, classes },
        bytes: 2 * rows * classes * 4,
        tolerance: 1e-4,
      };
    });
}
