import type { Conv2dShape } from '../src/kernels/conv2d.js';

/** How large a network is and how many images it gets. */
export interface NetworkWorkload {
  readonly depth: number;
  readonly width: number;
  readonly classes: number;
}

/** Parts of a mixed batch: in-distribution images, then outliers. */
export interface Mixed {
  readonly inCount: number;
  readonly outCount: number;
}

/** What can be measured, by kind, with the parameters of each. An engine implements the kinds that it can. */
export interface Workloads {
  /** One buffer into another. */
  copy: { readonly bytes: number };
  /** ReLU of `size` numbers: all that an elementwise kernel can do about memory. */
  relu: { readonly size: number };
  /** [m, k] times [k, n]. */
  matmul: { readonly m: number; readonly n: number; readonly k: number };
  conv2d: Conv2dShape & { readonly direction: 'forward' | 'backward-data' | 'backward-weights' };
  /** Training-mode batch norm and ReLU; with `backward`, the gradients of x, gamma and beta as well. */
  batchNorm: {
    readonly batch: number;
    readonly side: number;
    readonly channels: number;
    readonly backward: boolean;
  };
  /** The energy loss of a mixed batch and its gradient with respect to the logits. */
  energyLoss: Mixed & { readonly classes: number };
  /** One update of `size` parameters: Nesterov momentum and weight decay. */
  sgd: { readonly size: number };
  /** One energy fine-tuning step of a WideResNet: forward, loss, backward, update. Without dropout or augmentation. */
  step: NetworkWorkload & Mixed;
  /** The logits of a batch in evaluation mode, from images to host memory. */
  score: NetworkWorkload & { readonly batch: number };
}

export type Kind = keyof Workloads;

/** One thing to measure. */
export type Case = { [K in Kind]: CaseOf<K> }[Kind];

export interface CaseOf<K extends Kind> {
  readonly name: string;
  readonly kind: K;
  readonly parameters: Workloads[K];
  /** Floating-point operations (a multiply-add is two) of the mathematics, however an engine computes it. */
  readonly flops?: number;
  /** Bytes that must be read and written at least. */
  readonly bytes?: number;
  /** The largest difference from energate's results, norm over norm, of an engine that computes in float32. */
  readonly tolerance: number;
  /** Cases of one group that every engine has done are added up into a row of this name. */
  readonly group?: string;
}

/** Constants that the losses and updates of all engines share. */
export const LOSS = { mIn: -14, mOut: -1, lambda: 0.1 } as const;
export const SGD = { learningRate: 0.001, momentum: 0.9, weightDecay: 5e-4 } as const;

/** A workload made ready in one engine: inputs uploaded, and whatever can be compiled ahead compiled. */
export interface Task {
  /** Run `times` times, one after the other, and wait until the last is done. */
  run(times: number): Promise<void>;
  /** The results of one run from the initial state, in energate's layouts (NHWC, HWIO). Called first. */
  outputs(): Promise<Float32Array[]>;
  dispose(): void;
}

/** How an engine makes tasks. `setting` is one of its {@link Peer.settings}. */
export type Tasks = { [K in Kind]?: (parameters: Workloads[K], setting: string) => Task | Promise<Task> };

/** An engine under test, as its worker process sees it. */
export interface Peer {
  readonly version: string;
  /** Computes elsewhere than on the adapter, or in fewer bits, so that the adapter's ceilings are not this engine's. */
  readonly apart?: boolean;
  /** As `tolerance.ts` names it; float32 where nothing is said. */
  readonly arithmetic?: string;
  readonly tasks: Tasks;
  /** Settings that may matter to a case; the driver takes the fastest. */
  settings(work: Case): readonly string[];
}
