import { DataError } from '../errors.js';
import { Engine, type Storage } from '../gpu/engine.js';
import { Graph, type Tensor } from './graph.js';
import { energyLoss, type MixedBatch } from './ops/energy-loss.js';
import { Program } from './program.js';

/** The batch and the loss: cross-entropy + lambda (mean_in relu(E - mIn)² + mean_out relu(mOut - E)²). Energies are in nats. */
export interface EnergyHingeShape extends MixedBatch {
  readonly classes: number;
  readonly mIn: number;
  readonly mOut: number;
  readonly lambda: number;
}

/** Loss and gradient of one batch. */
export interface EnergyHingeResult {
  /** crossEntropy + regulariser */
  readonly loss: number;
  /** Mean over the in-distribution rows. */
  readonly crossEntropy: number;
  /** The two squared hinges, times lambda. */
  readonly regulariser: number;
  /** E = -logsumexp(logits), a row. */
  readonly energies: Float32Array;
  /** Of the loss, [inCount + outCount, classes]. */
  readonly gradient: Float32Array;
}

type Names = 'logits' | 'labels' | 'gradient' | 'rows';

/** The fused energy kernel on a device, with its buffers. Make one with {@link energyHinge}. */
export class EnergyHinge {
  /** Where everything lies: your buffers, or those that were made. */
  readonly buffers: Readonly<Record<Names, Storage>>;
  private readonly shape: EnergyHingeShape;
  private readonly program: Program;
  private readonly tensors: Readonly<Record<Names, Tensor>>;
  private readonly ownEngine: Engine | undefined;

  /** For {@link energyHinge}. @param ownEngine one that was made for it */
  constructor(
    shape: EnergyHingeShape,
    program: Program,
    tensors: Readonly<Record<Names, Tensor>>,
    ownEngine: Engine | undefined,
  ) {
    this.shape = shape;
    this.program = program;
    this.tensors = tensors;
    this.ownEngine = ownEngine;
    this.buffers = {
      logits: program.storage(tensors.logits),
      labels: program.storage(tensors.labels),
      gradient: program.storage(tensors.gradient),
      rows: program.storage(tensors.rows),
    };
  }

  /** Record the kernel into your compute pass or command encoder, which you submit. */
  encode(into: GPUComputePassEncoder | GPUCommandEncoder): void {
    this.program.encode(into);
  }

  /**
   * One batch from arrays to arrays.
   * @param logits [inCount + outCount, classes], in-distribution rows first
   * @param labels [inCount], each below classes
   * @throws DataError where a label is no class; DeviceError where a length does not fit
   */
  async run(logits: Float32Array, labels: Uint32Array): Promise<EnergyHingeResult> {
    const { inCount, outCount, classes, lambda } = this.shape;
    const bad = labels.findIndex((label) => label >= classes);
    if (bad >= 0) throw new DataError(`labels: label ${bad} is ${labels[bad]}, but there are ${classes} classes`);
    this.program.write(this.tensors.logits, logits);
    this.program.write(this.tensors.labels, labels);
    this.program.run();
    const [gradient, rows] = (await this.program.read(this.tensors.gradient, this.tensors.rows)) as [
      Float32Array,
      Float32Array,
    ];
    const mean = (field: number, start: number, count: number) => {
      let sum = 0;
      for (let n = start; n < start + count; n++) sum += rows[4 * n + field]!;
      return sum / Math.max(count, 1);
    };
    const crossEntropy = mean(0, 0, inCount);
    const regulariser = lambda * (mean(1, 0, inCount) + mean(1, inCount, outCount));
    const energies = Float32Array.from({ length: inCount + outCount }, (_, n) => rows[4 * n + 2]!);
    return { loss: crossEntropy + regulariser, crossEntropy, regulariser, energies, gradient };
  }

  /** Free the buffers that were made for it. */
  destroy(): void {
    this.program.destroy();
    this.ownEngine?.destroy();
  }
}

/**
 * The fused energy kernel (Liu et al. 2020, eq. 6 to 9): of a batch of logits, in one dispatch, logsumexp, energy, the squared
 * hinges, cross-entropy, and the gradient of their sum.
 * @param on an engine, or a device of yours, which is not changed
 * @param buffers ranges of yours to use: `logits` float32 [inCount + outCount, classes], in-distribution rows first; `labels` u32
 * [inCount], each below classes; `gradient`, written, of the logits' shape; `rows`, written, float32 [inCount + outCount, 4]:
 * cross-entropy (0 for outliers), squared hinge, energy, 1 where the largest logit is the label's. All need STORAGE usage and begin at
 * a multiple of 256 bytes. Those that are not given are made.
 * @throws UsageError where a margin or lambda cannot be, or inCount is below 1; DeviceError where a buffer does not fit
 * @example
 * const hinge = await energyHinge(device, { inCount: 32, outCount: 64, classes: 10, mIn: -23, mOut: -5, lambda: 0.1 }, { logits });
 * hinge.encode(pass);
 */
export async function energyHinge(
  on: Engine | GPUDevice,
  shape: EnergyHingeShape,
  buffers: Partial<Readonly<Record<Names, GPUBuffer | Storage>>> = {},
): Promise<EnergyHinge> {
  const engine = on instanceof Engine ? on : await Engine.from(on);
  const { inCount, outCount, classes, mIn, mOut, lambda } = shape;
  const graph = new Graph();
  const logits = graph.input('logits', [inCount + outCount, classes]);
  const labels = graph.input('labels', [inCount], 'u32');
  const tensors = { logits, labels, ...energyLoss(logits, labels, shape, { kind: 'energy', mIn, mOut, lambda }) };
  const bindings = new Map<Tensor, Storage>();
  for (const [name, given] of Object.entries(buffers) as [Names, GPUBuffer | Storage][]) {
    bindings.set(tensors[name], 'buffer' in given ? given : { buffer: given, offset: 0, size: given.size });
  }
  const program = await Program.compile(engine, graph, [tensors.gradient, tensors.rows], bindings);
  return new EnergyHinge(shape, program, tensors, engine === on ? undefined : engine);
}
