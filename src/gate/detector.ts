import { requireImages } from '../data/device-images.js';
import type { ImageSet } from '../data/image-set.js';
import { DataError } from '../errors.js';
import type { Engine } from '../gpu/engine.js';
import { Classifier, labelsOf, type Outputs } from '../nn/classifier.js';
import type { Calibrator } from '../ood/calibrator.js';
import { energy, findScore, scoreArrays } from '../ood/scores.js';
import { DevicePictures } from './device-pictures.js';
import { calibratorsOf, type Gate } from './gate.js';
import { decodeGate } from './gate-file.js';
import { fitPicture, type Picture } from './resize.js';

/** What a gate says of an image. */
export interface Decision {
  /** Taken for in-distribution: its score is at least the threshold. */
  readonly accepted: boolean;
  /** The class with the largest logit, and its name where the gate knows names. */
  readonly label: number;
  readonly className?: string;
  /** E = -T logsumexp(logits / T), the lower the more in-distribution; T is the gate's where its score is energy, else 1. */
  readonly energy: number;
  /** The gate's score, the higher the more in-distribution. */
  readonly score: number;
  /** The conformal p-value: of in-distribution images, at most a fraction p has a p-value of p or less. */
  readonly pValue: number;
}

/**
 * Images in a buffer of the engine's device (with COPY_SRC): `count` of 32 x 32 x 3 bytes (RGB, 0 to 255), from byte `offset`
 * on (a multiple of 4).
 */
export interface DeviceBytes {
  readonly buffer: GPUBuffer;
  readonly offset?: number;
  readonly count: number;
}

/** Anything that a canvas can draw: an ImageBitmap, a canvas, an image or video element, a VideoFrame. */
type Drawable = Exclude<CanvasImageSource, SVGImageElement>;

/**
 * One picture of any size. A GPUTexture is of the engine's device, with TEXTURE_BINDING; its alpha is not looked at, while
 * what is transparent in others is laid on black.
 */
export type GateImage = Picture | Drawable | GPUTexture;

/** The height and width of the images that networks take. */
const SIZE = 32;

/**
 * A gate on a device, ready to decide about images. Make one with {@link Detector.load}.
 * @example
 * const gate = await Detector.load(engine, bytes);
 * const [decision] = await gate.check(imageData);
 * if (!decision.accepted) console.log(`refused: p = ${decision.pValue}`);
 */
export class Detector {
  readonly gate: Gate;
  private readonly engine: Engine;
  private readonly plain: Classifier;
  private readonly perturbed: Classifier | undefined;
  private readonly pictures: DevicePictures;
  private calibrators: readonly [Calibrator, ...Calibrator[]];

  private constructor(
    gate: Gate,
    parts: { engine: Engine; plain: Classifier; perturbed: Classifier | undefined; pictures: DevicePictures },
  ) {
    this.gate = gate;
    this.engine = parts.engine;
    this.plain = parts.plain;
    this.perturbed = parts.perturbed;
    this.pictures = parts.pictures;
    this.calibrators = calibratorsOf(gate, gate.accept);
  }

  /**
   * Read a gate file and compile its network.
   * @param bytes what `energate calibrate` wrote
   * @param options.source what to call the file in messages
   * @param options.batch images a run (16): 1 where they come one by one, more for sets
   * @throws DataError where the file is no gate, of another version, or damaged
   */
  static async load(
    engine: Engine,
    bytes: Uint8Array,
    { source = 'the gate', batch = 16 }: { source?: string; batch?: number } = {},
  ): Promise<Detector> {
    return Detector.of(engine, await decodeGate(bytes, source), { batch });
  }

  /** A gate that was made or read before. */
  static async of(engine: Engine, gate: Gate, { batch = 16 }: { batch?: number } = {}): Promise<Detector> {
    const { network, score, temperature, epsilon, fit } = gate;
    const perturbation = findScore(score).perturbation?.({ temperature, epsilon }, fit);
    const pictures = await DevicePictures.create(engine, SIZE);
    const plain = await Classifier.create(engine, network, { batch });
    let perturbed: Classifier | undefined;
    try {
      perturbed = perturbation && (await Classifier.create(engine, network, { batch, perturbation }));
      return new Detector(gate, { engine, plain, perturbed, pictures });
    } catch (error) {
      plain.destroy();
      perturbed?.destroy();
      throw error;
    }
  }

  /** The thresholds in use: one, or one a class. */
  get thresholds(): readonly number[] {
    return this.calibrators.map(({ threshold }) => threshold);
  }

  /** One calibrator, or one a class: p-values, bounds and scores of the calibration. */
  get calibration(): readonly [Calibrator, ...Calibrator[]] {
    return this.calibrators;
  }

  /**
   * Move the threshold: accept this fraction of in-distribution images from now on.
   * @throws DataError where the calibration images are too few for it
   */
  accept(fraction: number): void {
    this.calibrators = calibratorsOf(this.gate, fraction);
  }

  /**
   * Decide about images, as they are at the time of the call (but a set, which is not copied): a canvas, texture or buffer may
   * change right after it.
   * @param images one picture or several of any size (scaled and cropped to the network's 32 x 32: see `fitPicture`), a set
   * of 32 x 32, the bytes of such a set, or a buffer of them. What is on the device stays there.
   * @returns one decision an image, in order
   * @throws DataError where a size does not fit, or a picture has no pixels yet
   * @throws DeviceError where a texture or buffer cannot be read
   */
  async check(images: GateImage | readonly GateImage[] | ImageSet | Uint8Array | DeviceBytes): Promise<Decision[]> {
    if (images instanceof Uint8Array || 'images' in images) return this.checkSet(setOf(images));
    if ('buffer' in images) {
      const source = { offset: 0, ...images };
      requireImages(source, BYTES);
      return this.checkOnDevice(source.count, (buffer) => this.pictures.copy(source, buffer));
    }
    const list: readonly GateImage[] = Array.isArray(images) ? images : [images];
    const bytes = list.map((image) => (isTexture(image) ? undefined : fitted(image)));
    if (bytes.every((image) => image !== undefined)) return this.checkSet(setOf(joined(bytes)));
    return this.checkOnDevice(list.length, (buffer) => {
      list.forEach((image, i) => {
        if (isTexture(image)) this.pictures.fit(image, buffer, i);
        else this.engine.write({ buffer, offset: i * BYTES, size: BYTES }, bytes[i]!);
      });
    });
  }

  private async checkSet(set: ImageSet): Promise<Decision[]> {
    return set.count === 0 ? [] : this.decide((classifier) => classifier.run(set));
  }

  private async checkOnDevice(count: number, fill: (buffer: GPUBuffer) => void): Promise<Decision[]> {
    const buffer = this.pictures.acquire(count);
    try {
      fill(buffer);
      return await this.decide((classifier) => classifier.runOnDevice({ buffer, count }));
    } finally {
      this.pictures.release(buffer);
    }
  }

  private async decide(run: (classifier: Classifier) => Promise<Outputs>): Promise<Decision[]> {
    const { network, score, temperature, epsilon, fit } = this.gate;
    const { classes } = network.config;
    const [plain, perturbed] = await Promise.all([run(this.plain), this.perturbed && run(this.perturbed)]);
    const head = { weight: network.state.get('fc.weight')!.data, bias: network.state.get('fc.bias')!.data };
    const scored = { ...(perturbed ?? plain), classes, head, temperature, epsilon, state: fit };
    const scores = scoreArrays(findScore(score), scored);
    const energies = score === 'energy' ? scores.map((value) => -value) : energy(plain.logits, classes);
    const labels = labelsOf(plain.logits, classes);
    return Array.from(scores, (value, n) => {
      const label = labels[n]!;
      const calibrator = this.calibrators[label] ?? this.calibrators[0];
      const className = network.classNames?.[label];
      return {
        accepted: calibrator.accepts(value),
        label,
        ...(className !== undefined && { className }),
        energy: energies[n]!,
        score: value,
        pValue: calibrator.pValue(value),
      };
    });
  }

  /** Free the network's GPU memory. */
  destroy(): void {
    this.plain.destroy();
    this.perturbed?.destroy();
    this.pictures.destroy();
  }
}

const BYTES = SIZE * SIZE * 3;

const isTexture = (image: GateImage): image is GPUTexture => 'createView' in image;

const fitted = (image: Picture | Drawable): Uint8Array => fitPicture('data' in image ? image : draw(image), SIZE);

function joined(images: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(images.length * BYTES);
  images.forEach((image, i) => {
    bytes.set(image, i * BYTES);
  });
  return bytes;
}

function setOf(images: ImageSet | Uint8Array): ImageSet {
  if (images instanceof Uint8Array) {
    if (images.length % BYTES !== 0) {
      throw new DataError(
        `${images.length} bytes are not whole images of ${SIZE} x ${SIZE} x 3; give { data, width, height } for another size`,
      );
    }
    // A Buffer's slice would be no copy.
    const bytes = new Uint8Array(images);
    return { name: 'images', images: bytes, count: images.length / BYTES, height: SIZE, width: SIZE };
  }
  if (images.height === SIZE && images.width === SIZE) return images;
  throw new DataError(
    `${images.name} is of ${images.width} x ${images.height}; the gate takes sets of ${SIZE} x ${SIZE}`,
  );
}

/** The pixels of what only a browser can read, at its own size, laid on black. */
function draw(source: Drawable): Picture {
  const { width, height } = sizeOf(source);
  if (!(width > 0 && height > 0)) {
    throw new DataError(`the ${source.constructor.name} has no pixels; wait until it is loaded`);
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true, alpha: false })!;
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

function sizeOf(source: Drawable): { width: number; height: number } {
  if ('videoWidth' in source) return { width: source.videoWidth, height: source.videoHeight };
  if ('naturalWidth' in source) return { width: source.naturalWidth, height: source.naturalHeight };
  if ('displayWidth' in source) return { width: source.displayWidth, height: source.displayHeight };
  return { width: source.width, height: source.height };
}
