import type { Adapter } from './results.js';
import type { Case } from './workloads.js';

/** What an engine's process is asked over IPC, one request at a time. Each is answered by a {@link Reply}. */
export type Request =
  | { method: 'open' }
  | { method: 'settings'; work: Case }
  /** `state` is what a network begins with, for Python: float32 in base64, in PyTorch's order. */
  | { method: 'prepare'; work: Case; setting: string; state?: string }
  | { method: 'outputs' | 'count' | 'dispose' }
  | { method: 'run'; times: number };

export type Reply = { result: unknown } | { error: string };

/** The answer to `open`. */
export interface Opened {
  readonly version: string;
  /** Computes elsewhere than on the adapter, or in fewer bits: the adapter's ceilings are not this engine's. */
  readonly apart: boolean;
  /** As `tolerance.ts` names it. */
  readonly arithmetic: string;
  /** None where the engine has no WebGPU. */
  readonly adapter?: Adapter;
}
