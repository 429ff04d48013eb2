import { describe, expect, it } from 'vitest';
import { DataError } from '../../src/errors.js';
import type { NdArray } from '../../src/formats/array.js';
import { toFloat32 } from '../../src/formats/array.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';

/** A file put together from the format's description alone. */
function file(header: unknown, body: number[] = []): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Array.from({ length: 8 }, (_, i) => (i < 4 ? (json.length >>> (8 * i)) & 255 : 0));
  return Uint8Array.from([...length, ...json, ...body]);
}

const entry = (dtype: string, shape: unknown, ...data_offsets: unknown[]) => ({ dtype, shape, data_offsets });

it('reads tensors at any position of the file, and the metadata', () => {
  const bytes = file(
    {
      flag: entry('BOOL', [1], 0, 1),
      half: entry('F16', [2], 1, 5),
      __metadata__: { network: 'wrn-10-1' },
      brain: entry('BF16', [1, 1], 5, 7),
      steps: entry('I64', [], 7, 15),
      x: entry('F32', [1], 15, 19),
      none: entry('F32', [0, 4], 19, 19),
    },
    [1, 0, 0x3c, 0, 0xc0, 0x80, 0x3f, 254, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0x80, 0x3e],
  );
  const { tensors, metadata } = readSafetensors(bytes, 'w.safetensors');
  expect(metadata).toEqual({ network: 'wrn-10-1' });
  expect([...tensors.keys()]).toEqual(['flag', 'half', 'brain', 'steps', 'x', 'none']);
  expect(tensors.get('flag')).toEqual({ dtype: 'bool', shape: [1], data: Uint8Array.of(1) });
  expect([...toFloat32(tensors.get('half')!)]).toEqual([1, -2]);
  expect([...toFloat32(tensors.get('brain')!)]).toEqual([1]);
  expect(tensors.get('steps')).toEqual({ dtype: 'int64', shape: [], data: BigInt64Array.of(-2n) });
  expect(tensors.get('x')).toEqual({ dtype: 'float32', shape: [1], data: Float32Array.of(0.25) });
  expect(tensors.get('none')!.data).toHaveLength(0);
});

describe('writeSafetensors', () => {
  const tensors = new Map<string, NdArray>([
    ['b', { dtype: 'float32', shape: [2, 1], data: Float32Array.of(1.5, -2) }],
    ['a', { dtype: 'int64', shape: [], data: BigInt64Array.of(3n) }],
    ['__proto__', { dtype: 'uint8', shape: [3], data: Uint8Array.of(1, 2, 3) }],
  ]);

  it('is read back as it was, in the order given', () => {
    const read = readSafetensors(writeSafetensors(tensors, { format: 'pt' }), 'w');
    expect([...read.tensors]).toEqual([...tensors]);
    expect(read.metadata).toEqual({ format: 'pt' });
  });

  it('writes exactly these bytes: header padded to 8, offsets in order', () => {
    const bytes = writeSafetensors(new Map([['a', tensors.get('a')!]]));
    const json = '{"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}';
    expect(bytes).toEqual(file(json.padEnd(56), [3, 0, 0, 0, 0, 0, 0, 0]));
  });

  it('refuses a tensor named as the metadata', () => {
    expect(() => writeSafetensors(new Map([['__metadata__', tensors.get('a')!]]))).toThrow(DataError);
  });
});

describe('refuses', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['an empty file', new Uint8Array(), /w has only 0 bytes; it is cut short/],
    [
      'a header longer than the file',
      file('{}').fill(255, 0, 6),
      /w has 2 bytes where its header takes 281474976710655; it is cut short/,
    ],
    ['a header that is not JSON', file('{"a":'), /header that is not JSON/],
    ['a header that is not an object', file('[]'), /not a JSON object/],
    ['metadata that are not strings', file({ __metadata__: { a: 1 } }), /__metadata__ must map names to strings/],
    ['an unknown type', file({ a: entry('F8_E4M3', [1], 0, 1) }, [0]), /w: a is of type F8_E4M3; convert it to F32/],
    ['no shape', file({ a: { dtype: 'F32', data_offsets: [0, 4] } }, [0, 0, 0, 0]), /w: a lacks a proper dtype, shape/],
    ['a nested shape', file({ a: entry('F32', [[1]], 0, 4) }, [0, 0, 0, 0]), /w: a lacks a proper dtype, shape/],
    ['a negative size', file({ a: entry('U8', [-1], 0, 1) }, [0]), /impossible shape \[-1\]/],
    ['a fractional size', file({ a: entry('U8', [1.5], 0, 1) }, [0]), /impossible shape/],
    ['a size beyond counting', file({ a: entry('U8', [2 ** 40, 2 ** 40], 0, 1) }, [0]), /impossible shape/],
    ['offsets past the end', file({ a: entry('U8', [2], 0, 2) }, [0]), /w: a lies at bytes \[0,2\] of 1/],
    ['offsets in reverse', file({ a: entry('U8', [0], 1, 0) }, [0]), /lies at bytes \[1,0\]/],
    ['three offsets', file({ a: entry('U8', [1], 0, 1, 1) }, [0]), /lies at bytes/],
    [
      'a shape that does not fit',
      file({ a: entry('F32', [2], 0, 4) }, [0, 0, 0, 0]),
      /has 4 bytes where float32 \[2\] takes 8/,
    ],
    ['a hole', file({ a: entry('U8', [1], 0, 1), b: entry('U8', [1], 2, 3) }, [0, 0, 0]), /leave a hole at byte 2/],
    ['an overlap', file({ a: entry('U8', [2], 0, 2), b: entry('U8', [2], 1, 3) }, [0, 0, 0]), /overlap at byte 1/],
    ['bytes left over', file({ a: entry('U8', [1], 0, 1) }, [0, 0]), /1 bytes that belong to no tensor/],
  ])('%s', (_, bytes, message) => {
    expect(() => readSafetensors(bytes, 'w')).toThrow(DataError);
    expect(() => readSafetensors(bytes, 'w')).toThrow(message);
  });
});
