import { requireImages } from '../data/device-images.js';
import { type Images, readImages, sourceOf } from '../data/image-set.js';
import { DataError, UsageError } from '../errors.js';
import { Buffers } from '../gpu/buffers.js';
import type { Engine } from '../gpu/engine.js';
import { gradients } from '../graph/differentiate.js';
import { Graph, type Tensor } from '../graph/graph.js';
import { gatherImages } from '../graph/ops/gather-images.js';
import { inputStep, nearestMeanResidual, odinSeed } from '../graph/ops/input-step.js';
import { matmul } from '../graph/ops/matmul.js';
import { Program, requireFloat16 } from '../graph/program.js';
import type { Perturbation } from '../ood/scores/score.js';
import { stateInputs, stateLayout, uploadState } from './device-state.js';
import { foldBatchNorms, foldedInputs } from './folding.js';
import { featuresOf, type Network } from './network.js';
import { foldedForward, type StateTensors, wideResNetForward } from './wide-resnet.js';

/** What a network says of N images, row-major. */
export interface Outputs {
  /** [N, classes] */
  readonly logits: Float32Array;
  /** [N, 64 width]: the input of fc. */
  readonly features: Float32Array;
}

/**
 * A network in evaluation mode (running statistics, no dropout), ready to be asked about any number of images of one size.
 * Make one with {@link Classifier.create}.
 */
export class Classifier {
  readonly network: Network;
  readonly batch: number;
  /** Of its images, in pixels. */
  readonly height: number;
  readonly width: number;
  private readonly engine: Engine;
  private readonly program: Program;
  private readonly buffers: Buffers;
  private readonly tensors: { pixels: Tensor; features: Tensor; logits: Tensor };
  private working: Promise<unknown> = Promise.resolve();

  private constructor(
    engine: Engine,
    network: Network,
    { batch, height, width }: { batch: number; height: number; width: number },
    compiled: { program: Program; buffers: Buffers; tensors: { pixels: Tensor; features: Tensor; logits: Tensor } },
  ) {
    this.engine = engine;
    this.network = network;
    this.batch = batch;
    this.height = height;
    this.width = width;
    this.program = compiled.program;
    this.buffers = compiled.buffers;
    this.tensors = compiled.tensors;
  }

  /**
   * Upload a network and compile its forward pass.
   * @param options.batch images a run; more images are taken in several runs
   * @param options.float16 store activations as float16
   * @param options.perturbation a step on the normalised images before the network is asked, along the sign of its gradient
   * @throws DeviceError where the batch exceeds the device's limits; FeatureError for float16 on a device without; UsageError for
   * a batch or size that is no whole number, or float16 with a perturbation, which goes by the signs of small gradients
   */
  static async create(
    engine: Engine,
    network: Network,
    options: {
      batch?: number;
      height?: number;
      width?: number;
      float16?: boolean | undefined;
      perturbation?: Perturbation | undefined;
    } = {},
  ): Promise<Classifier> {
    const { height = 32, width = 32, float16, perturbation } = options;
    if (float16 && perturbation)
      throw new UsageError('float16 with a perturbation would lose the signs of small gradients: use float32');
    if (float16) requireFloat16(engine);
    // A gradient keeps the activations of every layer.
    const { batch = perturbation ? 50 : 100 } = options;
    for (const [name, count] of Object.entries({ batch, height, width })) {
      if (!(Number.isInteger(count) && count >= 1))
        throw new UsageError(`${name} is ${count}, but must be a whole number of 1 or more`);
    }
    const graph = new Graph();
    const layout = stateLayout(network.config);
    const inputs = stateInputs(graph, layout);
    const pixels = graph.input('pixels', [Math.ceil((batch * height * width * 3) / 4)], 'u32');
    const indices = graph.input('indices', [batch], 'u32');
    const step = graph.input('step', [4], 'u32');
    const images = gatherImages([{ chunks: [{ tensor: pixels, start: 0, count: batch }], indices }], step, {
      height,
      width,
      normalization: network.normalization,
      augment: false,
    });
    const norms = foldBatchNorms(network);
    const folded = foldedInputs(graph, norms);
    const stepped = perturbation && perturbed(graph, images, network, inputs.state, perturbation);
    const { features, logits } = foldedForward(stepped?.images ?? images, network.config, inputs.state, folded.affine);
    const buffers = new Buffers(engine);
    let program: Program | undefined;
    try {
      const state = uploadState(buffers, layout, network);
      program = await Program.compile(
        engine,
        graph,
        [features, logits],
        new Map([
          [inputs.parameters, state.parameters],
          [inputs.statistics, state.statistics],
        ]),
        { float16 },
      );
      program.write(folded.input, norms.data);
      for (const [tensor, data] of stepped?.inputs ?? []) program.write(tensor, data);
      program.write(
        indices,
        Uint32Array.from({ length: batch }, (_, i) => i),
      );
      return new Classifier(
        engine,
        network,
        { batch, height, width },
        {
          program,
          buffers,
          tensors: { pixels, features, logits },
        },
      );
    } catch (error) {
      program?.destroy();
      buffers.destroy();
      throw error;
    }
  }

  /**
   * Logits and features of every image of a set. Reading, upload and computing overlap: while the device works at one batch,
   * the next is read and queued.
   * @param options.onProgress gets the number of images done
   * @param options.signal stops between batches, with its reason thrown
   * @throws DataError where images cannot be read, or are of another size
   */
  async run(
    set: Images,
    options: { onProgress?: (done: number) => void; signal?: AbortSignal | undefined } = {},
  ): Promise<Outputs> {
    if (set.height !== this.height || set.width !== this.width) {
      throw new DataError(
        `${sourceOf(set)} has images of ${set.height} x ${set.width} pixels, but the classifier was made for ${this.height} x ${this.width}`,
      );
    }
    return this.inBatches(set.count, options, async (start, count) => {
      const bytes = await readImages(set, start, count);
      return () => this.engine.write(this.program.storage(this.tensors.pixels), bytes);
    });
  }

  /**
   * Logits and features of images that are on the device already; their bytes stay there.
   * @param source `count` images of the classifier's size from byte `offset` of a buffer of the engine's device (with
   * COPY_SRC): bytes 0 to 255, RGB, rows one after the other. `offset` and an image's bytes must be multiples of 4
   * @throws DataError where the buffer does not hold them, or they begin elsewhere; DeviceError where it cannot be copied from
   */
  async runOnDevice({
    buffer,
    offset = 0,
    count,
  }: {
    buffer: GPUBuffer;
    offset?: number;
    count: number;
  }): Promise<Outputs> {
    const bytesPerImage = this.height * this.width * 3;
    requireImages({ buffer, offset, count }, bytesPerImage);
    return this.inBatches(count, {}, async (start, images) => () => {
      const pixels = this.program.storage(this.tensors.pixels);
      const encoder = this.engine.device.createCommandEncoder();
      const from = offset + start * bytesPerImage;
      encoder.copyBufferToBuffer(buffer, from, pixels.buffer, pixels.offset, images * bytesPerImage);
      this.engine.submit(encoder);
    });
  }

  /** One call after the other: they share the program's buffers. */
  private inBatches(...args: Parameters<Classifier['askInBatches']>): Promise<Outputs> {
    const result = this.working.then(() => this.askInBatches(...args));
    this.working = result.catch(() => undefined);
    return result;
  }

  /** @param prepare reads a batch of images; what it returns then queues its upload */
  private async askInBatches(
    total: number,
    options: { onProgress?: (done: number) => void; signal?: AbortSignal | undefined },
    prepare: (start: number, count: number) => Promise<() => void>,
  ): Promise<Outputs> {
    const { classes } = this.network.config;
    const width = featuresOf(this.network.config);
    const logits = new Float32Array(total * classes);
    const features = new Float32Array(total * width);
    const take = async (start: number, count: number, results: Promise<Float32Array[]>) => {
      // Rows past `count` are of the batch before: computed, and dropped here.
      const [l, f] = await results;
      logits.set(l!.subarray(0, count * classes), start * classes);
      features.set(f!.subarray(0, count * width), start * width);
      options.onProgress?.(start + count);
    };
    const countAt = (start: number) => Math.min(this.batch, total - start);
    const read = (start: number) => {
      const upload = prepare(start, countAt(start));
      // Whether it is awaited or not: another failure may come first.
      upload.catch(() => {});
      return upload;
    };
    let next = read(0);
    let under: Promise<void> = Promise.resolve();
    for (let start = 0; start < total; start += this.batch) {
      options.signal?.throwIfAborted();
      const upload = await next;
      if (start + this.batch < total) next = read(start + this.batch);
      upload();
      this.program.run();
      const taken = take(start, countAt(start), this.program.read(this.tensors.logits, this.tensors.features));
      taken.catch(() => {});
      // One batch is queued behind the one that the device works at.
      await under;
      under = taken;
    }
    await under;
    return { logits, features };
  }

  /** Free the classifier's GPU memory. What it is at work on is refused from its next batch on. */
  destroy(): void {
    this.program.destroy();
    this.buffers.destroy();
  }
}

/** The class with the largest logit (the first of equals) of each row of [N, classes]. */
export function labelsOf(logits: Float32Array, classes: number): Int32Array {
  return Int32Array.from({ length: logits.length / classes }, (_, n) => {
    const row = logits.subarray(n * classes, (n + 1) * classes);
    return row.indexOf(Math.max(...row));
  });
}

/** The images after the input step, the gradient it follows, and what else has to be written. */
export function perturbed(
  graph: Graph,
  images: Tensor,
  { config, normalization }: Network,
  state: StateTensors,
  perturbation: Perturbation,
): { images: Tensor; gradient: Tensor; inputs: readonly (readonly [Tensor, Float32Array])[] } {
  const { features, logits } = wideResNetForward(images, config, state);
  const step = (gradient: Tensor, inputs: readonly (readonly [Tensor, Float32Array])[] = []) => ({
    images: inputStep(images, gradient, { epsilon: perturbation.epsilon, std: normalization.std }),
    gradient,
    inputs,
  });
  if (perturbation.of === 'cross-entropy') {
    return step(gradients(logits, odinSeed(logits, perturbation), [images])[0]!);
  }
  // Half the squared distance d² = |h W - m|² to the nearest mean; its gradient in h is (h W - m) Wᵀ.
  const size = featuresOf(config);
  const matrix = graph.input('whitening', [size, size]);
  const bias = graph.input('whitening bias', [size]);
  const means = graph.input('whitened means', [perturbation.means.length / size, size]);
  const residual = nearestMeanResidual(matmul(features, matrix, { bias }), means);
  const seed = matmul(residual, matrix, { transposeB: true });
  return step(gradients(features, seed, [images])[0]!, [
    [matrix, perturbation.matrix],
    [bias, perturbation.bias],
    [means, perturbation.means],
  ]);
}
