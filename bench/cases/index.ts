import type { Case } from '../workloads.js';
import { batchNorms } from './batch-norm.js';
import { convolutions } from './convolution.js';
import { copies, relus } from './copy.js';
import { energyLosses } from './energy-loss.js';
import { matmuls } from './matmul.js';
import { networks } from './network.js';
import { updates } from './sgd.js';

/** How large the cases are. */
export interface Scale {
  /** Small sizes, and no whole network. */
  readonly quick: boolean;
  readonly inCount: number;
  readonly outCount: number;
}

/** All cases, in the order they are run. Add one to any of these lists, or a list of your own. */
export function allCases(scale: Scale): Case[] {
  return [
    ...copies(scale),
    ...relus(scale),
    ...matmuls(scale),
    ...convolutions(scale),
    ...batchNorms(scale),
    ...energyLosses(scale),
    ...updates(scale),
    ...networks(scale),
  ];
}

/** The cases whose results are the ceilings of the others: they always run. */
export const isCeiling = ({ kind, name }: Case, { quick }: Scale): boolean =>
  kind === 'copy' || name === (quick ? 'matmul 512' : 'matmul 1024');
