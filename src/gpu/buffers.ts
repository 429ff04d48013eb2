import type { Engine, Storage } from './engine.js';

/** Buffers of an engine that are freed together: all that something has, or had when making it failed. */
export class Buffers {
  readonly engine: Engine;
  private made: GPUBuffer[] = [];

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** As {@link Engine.createBuffer}. */
  create(label: string, size: number): GPUBuffer {
    const buffer = this.engine.createBuffer(label, size);
    this.made.push(buffer);
    return buffer;
  }

  /** As {@link Engine.upload}. */
  upload(label: string, data: ArrayBufferView): Storage {
    const storage = this.engine.upload(label, data);
    this.made.push(storage.buffer);
    return storage;
  }

  /** Of all that have not been freed. */
  get bytes(): number {
    return this.made.reduce((sum, buffer) => sum + buffer.size, 0);
  }

  destroy(): void {
    for (const buffer of this.made) this.engine.destroyBuffer(buffer);
    this.made = [];
  }
}
