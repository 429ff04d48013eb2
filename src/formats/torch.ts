import { DataError } from '../errors.js';
import {
  byteCount,
  type DType,
  elementCount,
  elementsOf,
  gatherStrided,
  isNdArray,
  itemSize,
  type NdArray,
  quote,
  rowMajorStrides,
  type TypedArray,
} from './array.js';
import { type PickleDict, type PickleFunction, type PickleHost, readPickle } from './pickle.js';
import { looksLikeZip, readZip } from './zip.js';

/** PyTorch's classes of typed storages. */
export const storageTypes: ReadonlyMap<string, DType> = new Map([
  ['torch.FloatStorage', 'float32'],
  ['torch.DoubleStorage', 'float64'],
  ['torch.HalfStorage', 'float16'],
  ['torch.BFloat16Storage', 'bfloat16'],
  ['torch.LongStorage', 'int64'],
  ['torch.IntStorage', 'int32'],
  ['torch.ShortStorage', 'int16'],
  ['torch.CharStorage', 'int8'],
  ['torch.ByteStorage', 'uint8'],
  ['torch.BoolStorage', 'bool'],
]);

/** The first pickle of a file in the format that PyTorch wrote before 1.6. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;

const REMEDY = 're-save the weights in PyTorch with torch.save(model.state_dict(), path)';

/** PyTorch's own limit on a tensor's axes. */
const MAX_RANK = 64;

/** Non-contiguous views are copied; a file whose views take more than this many times its size is refused. */
const MAX_GATHERED = 16;

/** Whether `bytes` begin as a file of `torch.save` does, in either format. */
export function looksLikeTorch(bytes: Uint8Array): boolean {
  const isPickle = bytes[0] === 0x80 && bytes[1] >= 2 && bytes[1] <= 5;
  return looksLikeZip(bytes) || isPickle;
}

/**
 * What `torch.save` wrote, in either of PyTorch's formats (zip, and the one before 1.6): dicts as Maps, lists and tuples as
 * arrays, tensors as {@link NdArray}s in row-major order wherever they were saved from. Nothing in the file is run. Tensors
 * may share the memory of `bytes` and of each other.
 * @throws {DataError} if the file is damaged, or asks for anything but tensors and plain values.
 */
export function readTorch(bytes: Uint8Array, fileName: string): unknown {
  const loader = new TensorLoader(bytes.length, fileName);
  return looksLikeZip(bytes) ? readZipFormat(bytes, fileName, loader) : readLegacyFormat(bytes, fileName, loader);
}

/** ARCHIVE/data.pkl is the object, and ARCHIVE/data/KEY the elements of each storage that it names. */
function readZipFormat(bytes: Uint8Array, fileName: string, loader: TensorLoader): unknown {
  const archive = readZip(bytes, fileName);
  const pickle = archive.names.find((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickle === undefined) {
    throw new DataError(`${fileName} is a zip archive without a data.pkl; give weights saved by torch.save`);
  }
  const folder = pickle.slice(0, -'data.pkl'.length);
  const byteOrder = `${folder}byteorder`;
  if (archive.names.includes(byteOrder) && new TextDecoder().decode(archive.read(byteOrder)) !== 'little') {
    throw new DataError(`${fileName} was saved on a big-endian machine; re-save it on a little-endian one`);
  }
  const { value } = readPickle(archive.read(pickle), 0, fileName, loader);
  for (const storage of loader.storages.values()) storage.fill(archive.read(`${folder}data/${storage.key}`), fileName);
  loader.finish();
  return value;
}

/** Five pickles (magic number, protocol, system, object, storage keys), then each storage: its length as int64, its elements. */
function readLegacyFormat(bytes: Uint8Array, fileName: string, loader: TensorLoader): unknown {
  let at = 0;
  const next = (host: PickleHost) => {
    const { value, end } = readPickle(bytes, at, fileName, host);
    at = end;
    return value;
  };
  if (next(plainValues) !== LEGACY_MAGIC || next(plainValues) !== LEGACY_PROTOCOL) {
    throw new DataError(`${fileName} is a pickle, but not weights saved by torch.save; re-save it with torch.save`);
  }
  const system = next(plainValues);
  if (!(system instanceof Map) || system.get('little_endian') !== true) {
    throw new DataError(`${fileName} was saved on a big-endian machine; re-save it on a little-endian one`);
  }
  const value = next(loader);
  const keys = next(plainValues);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const key of Array.isArray(keys) ? keys : []) {
    const storage = loader.storages.get(key);
    if (!storage) throw new DataError(`${fileName} has a storage that no tensor names; the file is damaged`);
    const start = at + 8;
    const end = start + storage.byteLength;
    if (end > bytes.length || Number(view.getBigInt64(at, true)) !== storage.length) {
      throw new DataError(`${fileName} is cut short or damaged at storage ${quote(storage.key)}; copy it again`);
    }
    storage.fill(bytes.subarray(start, end), fileName);
    at = end;
  }
  loader.finish();
  return value;
}

/** For the parts of a file that hold neither names nor tensors. */
const plainValues: PickleHost = { globals: new Map(), persistent: () => null, remedy: REMEDY };

/** The elements that tensors are views of. Their bytes come after the pickle that names them. */
class Storage {
  readonly dtype: DType;
  readonly key: string;
  readonly length: number;
  readonly byteLength: number;
  elements: TypedArray | undefined;

  constructor(dtype: DType, key: string, length: number, fileName: string) {
    this.dtype = dtype;
    this.key = key;
    this.length = length;
    this.byteLength = byteCount(dtype, [length], `${fileName}: storage ${quote(key)}`);
  }

  fill(bytes: Uint8Array, fileName: string): void {
    if (bytes.length !== this.byteLength) {
      throw new DataError(
        `${fileName}: storage ${quote(this.key)} has ${bytes.length} bytes, not ${this.byteLength}; the file is damaged`,
      );
    }
    this.elements = elementsOf(this.dtype, bytes);
  }
}

interface View {
  readonly tensor: { -readonly [field in keyof NdArray]: NdArray[field] };
  readonly storage: Storage;
  readonly offset: number;
  readonly strides: readonly number[];
}

/** Builds what a pickle of PyTorch asks for: tensors, and the dicts and plain values around them. */
class TensorLoader implements PickleHost {
  readonly storages = new Map<string, Storage>();
  readonly globals: ReadonlyMap<string, unknown>;
  readonly remedy = REMEDY;
  private readonly fileName: string;
  private readonly views: View[] = [];
  private gatherable: number;
  private pairs: number;

  constructor(fileSize: number, fileName: string) {
    this.fileName = fileName;
    this.gatherable = fileSize * MAX_GATHERED;
    this.pairs = fileSize;
    this.globals = new Map<string, unknown>([
      ...storageTypes,
      ['collections.OrderedDict', this.orderedDict],
      ['torch._utils._rebuild_tensor', this.rebuildTensor],
      ['torch._utils._rebuild_tensor_v2', this.rebuildTensor],
      ['torch._utils._rebuild_parameter', ((args) => args[0]) satisfies PickleFunction],
      ['torch.Size', ((args) => args[0]) satisfies PickleFunction],
      ['torch.device', ((args) => args[0]) satisfies PickleFunction],
    ]);
  }

  /** ('storage', type, key, location, length): where a storage was (cpu, cuda:0) does not matter. */
  persistent(id: unknown): Storage {
    const [kind, type, key, , length, view] = Array.isArray(id) ? id : [];
    if (kind !== 'storage' || !isStorageType(type) || typeof key !== 'string' || !isCounts([length]) || view) {
      throw new DataError(`${this.fileName} names its storages in an unknown way; re-save it with a newer PyTorch`);
    }
    const storage = this.storages.get(key) ?? new Storage(type, key, length, this.fileName);
    if (storage.dtype !== type || storage.length !== length) throw this.damaged(`storage ${quote(key)} in two ways`);
    this.storages.set(key, storage);
    return storage;
  }

  /** Gives the tensors their elements, once all storages have theirs. */
  finish(): void {
    for (const { tensor, storage, offset, strides } of this.views) {
      const { dtype, shape } = tensor;
      if (!storage.elements) throw this.damaged(`storage ${quote(storage.key)} without elements`);
      const count = elementCount(shape);
      if (isContiguous(shape, strides)) {
        tensor.data = storage.elements.subarray(offset, offset + count);
        continue;
      }
      this.gatherable -= count * itemSize(dtype);
      if (this.gatherable < 0) {
        throw new DataError(
          `${this.fileName} holds views far larger than itself; re-save contiguous copies of its tensors`,
        );
      }
      tensor.data = gatherStrided(dtype, storage.elements, offset, shape, strides);
    }
  }

  /** Python 3 fills the dict afterwards; Python 2 passes a list of pairs, which a damaged file could pass again and again. */
  private readonly orderedDict: PickleFunction = ([items = []]) => {
    if (!Array.isArray(items)) throw this.damaged('an OrderedDict of something other than pairs');
    this.pairs -= items.length;
    if (this.pairs < 0) throw this.damaged('more dicts than it has room for');
    return new Map(
      items.map((pair) => {
        if (!Array.isArray(pair) || pair.length !== 2)
          throw this.damaged('an OrderedDict of something other than pairs');
        return [pair[0], pair[1]];
      }),
    );
  };

  /** (storage, offset, shape, strides, ...): what follows concerns gradients. */
  private readonly rebuildTensor: PickleFunction = ([storage, offset, shape, strides]) => {
    if (!(storage instanceof Storage) || !isCounts([offset]) || !isCounts(shape) || !isCounts(strides)) {
      throw this.damaged('a tensor without storage, offset, shape and strides');
    }
    const start = Number(offset);
    const rank = shape.length;
    if (rank > MAX_RANK || rank !== strides.length) throw this.damaged(`a tensor of ${rank} axes`);
    const last = shape.reduce((at, size, axis) => at + (size - 1) * strides[axis], start);
    const count = elementCount(shape);
    if (count > storage.length || (count > 0 && last >= storage.length) || start > storage.length) {
      throw new DataError(
        `${this.fileName} holds a tensor [${shape.join(', ')}] larger than its storage of ${storage.length} elements; ` +
          'if it is an expanded view, re-save tensor.contiguous(), else the file is damaged',
      );
    }
    const tensor = { dtype: storage.dtype, shape: [...shape], data: new Uint8Array() };
    this.views.push({ tensor, storage, offset: start, strides: [...strides] });
    return tensor;
  };

  private damaged(what: string): DataError {
    return new DataError(`${this.fileName} holds ${what}; it is damaged, re-save it with torch.save`);
  }
}

function isStorageType(value: unknown): value is DType {
  return [...storageTypes.values()].some((dtype) => dtype === value);
}

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  const rowMajor = rowMajorStrides(shape);
  return shape.every((size, axis) => size <= 1 || strides[axis] === rowMajor[axis]);
}

/** Where training scripts put the state dict within a checkpoint. */
const STATE_DICT_KEYS = ['state_dict', 'model_state_dict', 'model', 'net'];

/** The prefix of every name when a network was saved inside a DataParallel. */
const DATA_PARALLEL = 'module.';

/**
 * The tensors by name in what {@link readTorch} read: of a checkpoint that holds a state dict, or of a bare state dict. What
 * is no tensor is left out, and so is DataParallel's prefix.
 * @throws {DataError} if there is no tensor by name.
 */
export function stateDict(tree: unknown, fileName: string): Map<string, NdArray> {
  const dict = STATE_DICT_KEYS.map((key) => asDict(tree)?.get(key)).find((value) => asDict(value)) ?? tree;
  const tensors = new Map<string, NdArray>();
  for (const [name, value] of asDict(dict) ?? []) {
    if (typeof name === 'string' && isNdArray(value)) tensors.set(name, value);
  }
  if (tensors.size === 0) {
    throw new DataError(`${fileName} holds no state dict; re-save it with torch.save(model.state_dict(), path)`);
  }
  const names = [...tensors.keys()];
  if (!names.every((name) => name.startsWith(DATA_PARALLEL))) return tensors;
  return new Map(names.map((name) => [name.slice(DATA_PARALLEL.length), tensors.get(name)!]));
}

function asDict(value: unknown): PickleDict | undefined {
  return value instanceof Map ? value : undefined;
}
