import { DeviceError, LimitError } from '../errors.js';
import type { Dispatch } from '../kernels/dispatch.js';
import type { Storage } from './engine.js';

/** WebGPU's `GPUBufferUsage` by value: Node has no such global unless somebody sets it. */
export const USAGE = {
  MAP_READ: 0x1,
  COPY_SRC: 0x4,
  COPY_DST: 0x8,
  UNIFORM: 0x40,
  STORAGE: 0x80,
  INDIRECT: 0x100,
  QUERY_RESOLVE: 0x200,
} as const;

/** A binding of a shader, in order of `@binding`. */
export interface Slot {
  readonly name: string;
  readonly usage: 'STORAGE' | 'UNIFORM';
  readonly writes: boolean;
}

/** The buffers that a shader's source binds. */
export function slotsOf(code: string): Slot[] {
  return [...code.matchAll(/^@group\(0\) @binding\(\d+\) var<(storage|uniform)(?:, (\w+))?> (\w+)/gm)].map(
    ([, space, access, name]) => ({
      name: name!,
      usage: space === 'uniform' ? 'UNIFORM' : 'STORAGE',
      writes: access === 'read_write',
    }),
  );
}

/** @throws DeviceError where a buffer was made without `usage`. */
export function requireUsage(buffer: GPUBuffer, usage: keyof typeof USAGE, why: string): void {
  if ((buffer.usage & USAGE[usage]) === 0) {
    throw new DeviceError(`${nameOf(buffer)} cannot be ${why}: make it with GPUBufferUsage.${usage}`);
  }
}

/** @throws DeviceError where a range reaches past its buffer */
export function requireInside({ buffer, offset, size }: Storage, what: string): void {
  if (offset + size > buffer.size) {
    throw new DeviceError(
      `${what} is bound to ${size} bytes from ${offset} on, but ${nameOf(buffer)} has ${buffer.size}`,
    );
  }
}

const nameOf = (buffer: GPUBuffer) => (buffer.label ? `buffer '${buffer.label}'` : 'a buffer without a label');

/**
 * Refuse what WebGPU would refuse later, and less plainly.
 * @throws LimitError, DeviceError
 */
export function checkBindings(
  limits: GPUSupportedLimits,
  { shader, bindings, workgroups }: Dispatch<Storage>,
  slots: readonly Slot[],
): void {
  const require = (limit: keyof GPUSupportedLimits & string, need: number, what: string) => {
    const have = limits[limit] as number;
    if (need > have) {
      throw new LimitError(`${shader} ${what} ${need}, but this device's ${limit} is ${have}`, { limit, have, need });
    }
  };
  require('maxStorageBuffersPerShaderStage', slots.filter(({ usage }) => usage === 'STORAGE')
    .length, 'binds storage buffers:');
  require('maxComputeWorkgroupsPerDimension', Math.max(...workgroups), 'takes workgroups in one dimension:');
  slots.forEach(({ name, usage }, i) => {
    const { buffer, offset, size } = bindings[i]!;
    const isStorage = usage === 'STORAGE';
    requireUsage(buffer, usage, `bound as ${name} of ${shader}`);
    require(isStorage ? 'maxStorageBufferBindingSize' : 'maxUniformBufferBindingSize', size, `binds bytes as ${name}:`);
    requireInside(bindings[i]!, `${name} of ${shader}`);
    const alignment = limits[isStorage ? 'minStorageBufferOffsetAlignment' : 'minUniformBufferOffsetAlignment'];
    if (offset % alignment !== 0) {
      throw new DeviceError(
        `${name} of ${shader} is bound from byte ${offset} of ${nameOf(buffer)} on: begin at a multiple of ${alignment}`,
      );
    }
  });
  // WebGPU counts usage by buffer, not by range.
  slots.forEach((slot, i) => {
    const rival = slots.findIndex(
      (other, k) => k !== i && slot.writes && !other.writes && bindings[k]!.buffer === bindings[i]!.buffer,
    );
    if (rival >= 0) {
      throw new DeviceError(
        `${shader} would read ${slots[rival]!.name} from ${nameOf(bindings[i]!.buffer)}, where it writes ${slot.name}: use two buffers`,
      );
    }
  });
}
