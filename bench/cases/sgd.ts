import type { CaseOf } from '../workloads.js';
import type { Scale } from './index.js';

/** One update of the parameters of WRN-10-1 and of WRN-40-2: three arrays read, two written. */
export function updates({ quick }: Scale): CaseOf<'sgd'>[] {
  return (quick ? [77_850] : [77_850, 2_243_546]).map((size) => ({
    name: `sgd ${size} parameters`,
    kind: 'sgd',
    parameters: { size },
    bytes: 5 * size * 4,
    tolerance: 1e-5,
  }));
}
