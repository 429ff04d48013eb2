import { type Shape, sizeOf, VIEW_ALIGNMENT } from '../graph/graph.js';

/** Where each of several named tensors lies in one buffer, in float32 elements. */
export class Arena {
  readonly entries: ReadonlyMap<string, { readonly shape: Shape; readonly offset: number }>;
  /** Elements in all, the gaps that alignment leaves included (they stay zero). */
  readonly size: number;

  constructor(tensors: Iterable<readonly [name: string, shape: Shape]>) {
    const entries = new Map<string, { shape: Shape; offset: number }>();
    let offset = 0;
    for (const [name, shape] of tensors) {
      entries.set(name, { shape, offset });
      offset += Math.ceil(sizeOf(shape) / VIEW_ALIGNMENT) * VIEW_ALIGNMENT;
    }
    this.entries = entries;
    this.size = offset;
  }

  /** The part of `data` that holds a tensor. */
  slice(data: Float32Array, name: string): Float32Array {
    const { shape, offset } = this.entries.get(name)!;
    return data.subarray(offset, offset + sizeOf(shape));
  }
}
