/** PyTorch's golden vectors (float64 from float32 inputs): small ones in test/fixtures, large ones in ../shared where there is one. */
import { existsSync, readFileSync } from 'node:fs';
import type { ImageSet } from '../../src/data/image-set.js';
import { toFloat32 } from '../../src/formats/array.js';
import { readNpz } from '../../src/formats/npz.js';
import { type Network, networkFromState } from '../../src/nn/network.js';

const fixtures = new URL('../fixtures/reference/', import.meta.url);
const shared = new URL('../../../shared/reference/', import.meta.url);

export const CIFAR = {
  mean: [125.3 / 255, 123 / 255, 113.9 / 255],
  std: [63 / 255, 62.1 / 255, 66.7 / 255],
} as const;

/** Whether a golden file that only ../shared holds is there. */
export const hasShared = (name: string): boolean => existsSync(new URL(name, shared));

export interface Golden {
  readonly meta: {
    readonly depth: number;
    readonly width: number;
    readonly classes: number;
    readonly steps: number;
    readonly batch: number;
    readonly outlier_batch: number;
    readonly loss: 'energy' | 'oe';
    readonly m_in: number;
    readonly m_out: number;
    readonly lr: number;
    readonly log: readonly Readonly<Record<string, number>>[];
  };
  readonly array: (name: string) => { readonly shape: readonly number[]; readonly data: Float32Array };
  readonly names: readonly string[];
  readonly images: (name: 'in' | 'out') => ImageSet;
  readonly network: () => Network;
}

/** One of reference/finetune-*.npz. */
export function golden(name: string): Golden {
  const local = new URL(name, fixtures);
  const npz = readNpz(new Uint8Array(readFileSync(existsSync(local) ? local : new URL(name, shared))), name);
  const array = (key: string) => {
    const found = npz.get(key);
    return { shape: found.shape, data: toFloat32(found) };
  };
  return {
    meta: JSON.parse(new TextDecoder().decode(npz.get('meta').data as Uint8Array)),
    array,
    names: npz.names,
    images(which) {
      const images = npz.get(`${which}_images`);
      const set = { name: which, images: images.data as Uint8Array, count: images.shape[0]!, height: 32, width: 32 };
      return which === 'out' ? set : { ...set, labels: Int32Array.from(npz.get('in_labels').data as never, Number) };
    },
    network() {
      const state = npz.names.filter((key) => key.startsWith('init/'));
      const tensors = new Map(state.map((key) => [key.slice('init/'.length), npz.get(key)]));
      return networkFromState(tensors, name, { normalization: CIFAR });
    },
  };
}

/** Norm of the difference over the norm of the reference. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}
