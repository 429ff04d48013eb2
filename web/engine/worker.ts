/**
 * The engine, in a worker: compiling, scoring and training leave the page's own thread alone. It answers the calls of
 * client.ts one by one as they are done, not in order.
 */
import {
  type Decision,
  Detector,
  Engine,
  fitPicture,
  type Gate,
  type ImageSet,
  imageSetFromNpz,
  OOD_FAMILIES,
  type Picture,
  syntheticImages,
  syntheticOod,
} from '../../src/index.js';
import { BATCH, type FineTuned, type FineTuneEvent, type FineTuneOptions, fineTune } from './fine-tune.js';

/** What the page may be told about the adapter. */
export type Adapter = Engine['adapter'];

let engine: Promise<Engine> | undefined;
let detector: Detector | undefined;
/** Asking the detector and changing it: one after the other, or it would be freed while it computes. */
let turn: Promise<unknown> = Promise.resolve();
let training: AbortController | undefined;

const api = {
  /** Open the device. @throws DeviceError where there is none */
  async open(): Promise<Adapter> {
    engine ??= Engine.open();
    const { device, adapter } = await engine;
    device.lost.then(({ message, reason }) => send({ event: 'lost', detail: message || reason }));
    return adapter;
  },

  /** Decide by this gate from now on; by the one before where this one cannot be used. */
  use(gate: Gate): Promise<void> {
    return inTurn(async () => {
      const next = await Detector.of(await engine!, gate, { batch: BATCH });
      detector?.destroy();
      detector = next;
    });
  },

  /** By the gate in use. */
  check(images: ImageSet): Promise<Decision[]> {
    return inTurn(() => detector!.check(images));
  },

  /**
   * A picture, as the network takes it. The bitmap is closed.
   * @returns undefined where it is too large for a canvas
   */
  async fit(bitmap: ImageBitmap): Promise<Uint8Array | undefined> {
    const picture = pixelsOf(bitmap);
    return picture && fitPicture(picture, 32);
  },

  /** The `count` images from `start` on of the embedded test set, or of an out-of-distribution family. */
  async draw(family: string, start: number, count: number): Promise<ImageSet> {
    const set = drawn(family, start + count);
    return {
      ...set,
      images: set.images.slice(start * 3072),
      count,
      ...(set.labels && { labels: set.labels.slice(start) }),
    };
  },

  async readSet(bytes: Uint8Array, name: string): Promise<ImageSet> {
    return imageSetFromNpz(bytes, name);
  },

  async fineTune(gate: Gate, options: FineTuneOptions): Promise<FineTuned | undefined> {
    training = new AbortController();
    return fineTune(await engine!, gate, options, (detail) => send({ event: 'training', detail }), training.signal);
  },

  async stop(): Promise<void> {
    training?.abort();
  },
};

export type Api = typeof api;
export interface Call {
  readonly id: number;
  readonly method: keyof Api;
  readonly args: readonly unknown[];
}
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: { readonly name: string; readonly message: string } }
  | { readonly event: 'lost'; readonly detail: string }
  | { readonly event: 'training'; readonly detail: FineTuneEvent };

function send(reply: Reply): void {
  postMessage(reply);
}

addEventListener('message', async ({ data: { id, method, args } }: MessageEvent<Call>) => {
  try {
    const value = await (api[method] as (...args: readonly unknown[]) => Promise<unknown>)(...args);
    send({ id, value });
  } catch (error) {
    const { name, message } = error as Error;
    send({ id, error: { name, message } });
  }
});

function inTurn<T>(task: () => Promise<T>): Promise<T> {
  const result = turn.then(task);
  turn = result.catch(() => undefined);
  return result;
}

function drawn(family: string, count: number): ImageSet {
  const known = OOD_FAMILIES.find((name) => name === family);
  return known ? syntheticOod(known, { seed: 1, count }) : syntheticImages({ seed: 1, count, split: 'test' });
}

function pixelsOf(bitmap: ImageBitmap): Picture | undefined {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { alpha: false, willReadFrequently: true });
  try {
    context?.drawImage(bitmap, 0, 0);
    const pixels = context?.getImageData(0, 0, width, height);
    // Chromium gives transparent pixels of a canvas that it could not make, though this one is opaque.
    return pixels?.data[3] === 255 ? pixels : undefined;
  } catch {
    return undefined;
  } finally {
    bitmap.close();
  }
}
