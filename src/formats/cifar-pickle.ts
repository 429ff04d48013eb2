import { DataError } from '../errors.js';
import { quote } from './array.js';
import type { CifarBatch } from './cifar.js';
import { type PickleFunction, type PickleHost, type PickleObject, readPickle } from './pickle.js';

const RECORD = 3 * 32 * 32;

/**
 * A file of CIFAR's python version: a pickled dict of `data` (uint8, N x 3072) and a list of labels. Nothing in it is run.
 * @param labelKey where the labels are: `labels` of CIFAR-10, `fine_labels` of CIFAR-100
 * @param what begins the messages
 * @throws {DataError} if the pickle is damaged, asks for anything but arrays and plain values, or is something else.
 */
export function readCifarPickle(bytes: Uint8Array, labelKey: string, what: string): CifarBatch {
  const dict = readDict(bytes, what);
  const data = dict.get('data');
  const labels = dict.get(labelKey);
  if (!(data instanceof NumpyArray) || !Array.isArray(labels)) {
    throw new DataError(`${what} lacks data or ${labelKey}; take the file of CIFAR's python version`);
  }
  const { shape, bytes: pixels } = data;
  const [count, size] = shape;
  if (shape.length !== 2 || !count || size !== RECORD || pixels.length !== count * RECORD || labels.length !== count) {
    throw new DataError(
      `${what} has data of [${shape.join(', ')}] in ${pixels.length} bytes and ${labels.length} labels, not N x ${RECORD} and N; download the archive again`,
    );
  }
  return {
    count,
    label: (record) => Number(labels[record]),
    planes: (record) => pixels.subarray(record * RECORD, (record + 1) * RECORD),
  };
}

/** The list of class names under `key` of a meta file. @throws {DataError} as {@link readCifarPickle}. */
export function readClassNames(bytes: Uint8Array, key: string, what: string): string[] {
  const names = readDict(bytes, what).get(key);
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string' || name instanceof Uint8Array)) {
    throw new DataError(`${what} lacks ${key}; download the archive again`);
  }
  return names.map((name) => quote(asText(name)));
}

/** A pickled dict, its keys as text: pickles of Python 2, and those re-saved with Python 3, have bytes there. */
function readDict(bytes: Uint8Array, what: string): Map<string, unknown> {
  const { value } = readPickle(bytes, 0, what, hostOf(bytes.length, what));
  if (!(value instanceof Map)) throw new DataError(`${what} holds no dict; take the file of CIFAR's python version`);
  return new Map(Array.from(value, ([key, item]) => [asText(key), item]));
}

const asText = (value: unknown): string =>
  value instanceof Uint8Array ? new TextDecoder().decode(value) : typeof value === 'string' ? value : '';

/** `numpy.ndarray` of bytes, filled in by its state: (version, shape, dtype, Fortran order, elements). */
class NumpyArray implements PickleObject {
  shape: readonly number[] = [];
  bytes: Uint8Array = new Uint8Array();
  private readonly what: string;

  constructor(what: string) {
    this.what = what;
  }

  setState(state: unknown): void {
    const [, shape, dtype, fortran, data] = Array.isArray(state) ? state : [];
    const sizes = Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size) && size >= 0);
    if (!sizes || !(dtype instanceof NumpyType) || fortran !== false || !(data instanceof Uint8Array)) {
      throw new DataError(
        `${this.what} holds an array that is not one of bytes in C order; download the archive again`,
      );
    }
    this.shape = shape;
    this.bytes = data;
  }
}

/** `numpy.dtype('u1')`; its state tells the byte order, which bytes have none of. */
class NumpyType implements PickleObject {
  setState(): void {}
}

function hostOf(size: number, what: string): PickleHost {
  const reconstruct: PickleFunction = () => new NumpyArray(what);
  const dtype: PickleFunction = ([name]) => {
    if (!['u1', '|u1', 'uint8'].includes(asText(name))) {
      throw new DataError(`${what} holds an array of type '${quote(asText(name))}', not u1; save it as uint8`);
    }
    return new NumpyType();
  };
  // Python 3 writes bytes so in protocol 2, which has none. A damaged file could ask for the same again and again.
  let encodable = size;
  const encode: PickleFunction = ([text]) => {
    const latin1 = typeof text === 'string' ? text : '';
    encodable -= latin1.length;
    if (encodable < 0) throw new DataError(`${what} holds more bytes than it has room for; download the archive again`);
    return Uint8Array.from(latin1, (character) => character.charCodeAt(0));
  };
  return {
    globals: new Map<string, unknown>([
      ['numpy.core.multiarray._reconstruct', reconstruct],
      ['numpy._core.multiarray._reconstruct', reconstruct],
      ['numpy.ndarray', 'numpy.ndarray'],
      ['numpy.dtype', dtype],
      ['_codecs.encode', encode],
    ]),
    persistent: () => null,
    remedy: "take the file of CIFAR's python version",
    longStringsAreBytes: true,
  };
}
