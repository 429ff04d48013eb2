import { existsSync, readFileSync } from 'node:fs';
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../src/errors.js';
import type { NdArray } from '../../src/formats/array.js';
import { toFloat32 } from '../../src/formats/array.js';
import { readNpz } from '../../src/formats/npz.js';
import { readStateDict } from '../../src/formats/state-dict.js';
import { readTorch, stateDict } from '../../src/formats/torch.js';
import { writeTorch } from '../../src/formats/torch-writer.js';

const read = (url: URL) => new Uint8Array(readFileSync(url));
const fixture = (name: string) => read(new URL(`../fixtures/reference/${name}`, import.meta.url));
const shared = new URL('../../../shared/', import.meta.url);
const load = (bytes: Uint8Array) => stateDict(readTorch(bytes, 'w.pt'), 'w.pt');

/** The weights that the PyTorch files of the reference were saved from, as NumPy saved them. */
const npz = readNpz(fixture('finetune-energy-wrn-10-1.npz'), 'finetune-energy-wrn-10-1.npz');
const initial = npz.names.filter((name) => name.startsWith('init/')).map((name) => name.slice('init/'.length));

function expectInitialWeights(tensors: Map<string, NdArray>, tolerance = 0): void {
  for (const name of initial) {
    const expected = npz.get(`init/${name}`);
    const tensor = tensors.get(name);
    expect(tensor?.shape, name).toEqual(expected.shape);
    const wanted = toFloat32(expected);
    // Rounding to half precision errs by 2^-11 of a value, or 2^-25 where it is subnormal.
    const wrong = toFloat32(tensor!).findIndex(
      (x, i) => !(Math.abs(x - wanted[i]) <= tolerance * Math.abs(wanted[i]) + tolerance * 2 ** -14),
    );
    expect(wrong, `${name}: first wrong element`).toBe(-1);
  }
}

const counters = (tensors: Map<string, NdArray>) =>
  [...tensors.keys()].filter((name) => name.endsWith('num_batches_tracked'));

describe('PyTorch’s own files', () => {
  it.each(['wrn-10-1.zip.pt', 'wrn-10-1.legacy.pt'])('%s', (name) => {
    const tensors = load(fixture(name));
    expectInitialWeights(tensors);
    expect(tensors.size).toBe(initial.length + counters(tensors).length);
    expect(counters(tensors)).toHaveLength(7);
    expect(tensors.get('bn1.num_batches_tracked')).toMatchObject({ dtype: 'int64', shape: [] });
  });

  it('wrn-10-1.half.pt', () => {
    const tensors = load(fixture('wrn-10-1.half.pt'));
    expect(tensors.get('fc.weight')!.dtype).toBe('float16');
    expectInitialWeights(tensors, 2 ** -11);
  });

  it('views: parts and transposes of one storage', () => {
    const tensors = load(fixture('views.pt'));
    expect([...tensors.keys()]).toEqual(['a', 'b']);
    expect(tensors.get('a')).toEqual({ dtype: 'float32', shape: [2, 3], data: Float32Array.of(4, 5, 6, 7, 8, 9) });
    const transposed = Float32Array.of(12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23);
    expect(tensors.get('b')).toEqual({ dtype: 'float32', shape: [4, 3], data: transposed });
  });

  const reference = new URL('reference/', shared);
  describe.skipIf(!existsSync(reference))('of ../shared/reference (skipped where it is absent)', () => {
    it.each([
      ['wrn-10-1.legacy-no-num-batches.pt', 0],
      ['wrn-10-1.dataparallel.pt', 7],
      ['wrn-10-1.saved-on-cuda.pt', 7],
      ['wrn-10-1.checkpoint.pth', 7],
    ])('%s', (name, expectedCounters) => {
      const tensors = load(read(new URL(name, reference)));
      expectInitialWeights(tensors);
      expect(counters(tensors)).toHaveLength(expectedCounters);
    });
  });

  const published = new URL('weights/wrn-16-1-cifar10.pth.tar', shared);
  it.skipIf(!existsSync(published))('the published checkpoint of ../shared/weights, with its optimizer', () => {
    const tree = readTorch(read(published), 'wrn.pth.tar') as Map<string, unknown>;
    expect([...tree.keys()]).toEqual(['epoch', 'state_dict', 'best_prec', 'optimizer']);
    const optimizer = tree.get('optimizer') as Map<string, Map<number, Map<string, NdArray>>>;
    expect([...optimizer.keys()]).toEqual(['state', 'param_groups']);
    expect([...optimizer.get('state')!.values()][0].get('momentum_buffer')).toMatchObject({ dtype: 'float32' });
    const tensors = stateDict(tree, 'wrn.pth.tar');
    const parameters = [...tensors].filter(([name]) => !/running_|num_batches/.test(name));
    expect(parameters.reduce((sum, [, { data }]) => sum + data.length, 0)).toBe(175_066);
    expect(parameters.every(([, { data }]) => (data as Float32Array).every(Number.isFinite))).toBe(true);
  });
});

/** A pickle, put together from text (one character a byte). */
const bytesOf = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const archive = (pickle: string, files: Record<string, Uint8Array> = {}) =>
  zipSync({ 'x/data.pkl': bytesOf(`\x80\x02${pickle}.`), ...files }, { level: 0 });
const string = (text: string) => `X${String.fromCharCode(text.length)}\0\0\0${text}`;
const storage = (length: number, type = 'FloatStorage') =>
  `(${string('storage')}ctorch\n${type}\n${string('0')}${string('cpu')}K${String.fromCharCode(length)}tQ`;
const tuple = (...values: number[]) => `(${values.map((value) => `K${String.fromCharCode(value)}`).join('')}t`;
const tensor = (offset: number, shape: number[], strides: number[], stored = storage(4)) =>
  `ctorch._utils\n_rebuild_tensor_v2\n(${stored}K${String.fromCharCode(offset)}${tuple(...shape)}${tuple(...strides)}\x89NtR`;
const four = { 'x/data/0': new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer) };

describe('what pickles may hold', () => {
  it.each<[string, string, unknown]>([
    ['None, True, False', 'N\x88\x89\x87', [null, true, false]],
    ['small integers', 'K\xffM\xff\xffJ\xff\xff\xff\xff\x87', [255, 65535, -1]],
    ['long integers', '\x8a\x00\x8a\x01\xff\x8a\x09\0\0\0\0\0\0\0\0\x01\x87', [0, -1, 2n ** 64n]],
    ['floats', 'G\xbf\xf8\0\0\0\0\0\0\x85', [-1.5]],
    ['strings of Python 3 and 2, and bytes', `${string('a')}U\x01bC\x01c\x87`, ['a', 'b', Uint8Array.of(99)]],
    [
      'dicts',
      `}${string('a')}K\x01s(K\x02K\x03u`,
      new Map<unknown, unknown>([
        ['a', 1],
        [2, 3],
      ]),
    ],
    ['lists', '](K\x01K\x02eK\x03a', [1, 2, 3]],
    ['values recalled', '(]q\x00h\x00h\x00t', [[], [], []]],
    ['values discarded', 'N0(NN1K\x07', 7],
    [
      'names from the stack, frames (protocol 4)',
      '\x95\0\0\0\0\0\0\0\0\x8c\x05torch\x8c\x04Size\x94\x93(K\x02K\x03t\x85R',
      [2, 3],
    ],
    ['OrderedDict of Python 2', `ccollections\nOrderedDict\n]](${string('a')}K\x01ea\x85R`, new Map([['a', 1]])],
    ['OrderedDict with attributes', `ccollections\nOrderedDict\n)R}${string('_metadata')}Nsb`, new Map()],
  ])('%s', (_, pickle, value) => {
    expect(readTorch(archive(pickle), 'w.pt')).toEqual(value);
  });

  it('a list that contains itself', () => {
    const list = readTorch(archive(']q\x00h\x00a'), 'w.pt') as unknown[];
    expect(list[0]).toBe(list);
    expect(() => stateDict(list, 'w.pt')).toThrow(DataError);
  });

  it('a hundred thousand lists within each other', () => {
    expect(readTorch(archive(`${']'.repeat(100_000)}${'a'.repeat(99_999)}`), 'w.pt')).toHaveLength(1);
  });

  it('parameters, and tensors that share a storage', () => {
    const parameter = `ctorch._utils\n_rebuild_parameter\n${tensor(0, [4], [1])}\x89N\x87R`;
    const [whole, part] = readTorch(archive(`${parameter}${tensor(2, [2], [1])}\x86`, four), 'w.pt') as NdArray[];
    expect([...whole.data]).toEqual([1, 2, 3, 4]);
    expect([...part.data]).toEqual([3, 4]);
    expect(part.data.buffer).toBe(whole.data.buffer);
  });

  it('bfloat16', () => {
    const files = { 'x/data/0': Uint8Array.of(0x80, 0x3f, 0, 0xc0) };
    const array = readTorch(archive(tensor(0, [2], [1], storage(2, 'BFloat16Storage')), files), 'w.pt') as NdArray;
    expect([...toFloat32(array)]).toEqual([1, -2]);
  });
});

describe('stateDict', () => {
  const weight: NdArray = { dtype: 'float32', shape: [1], data: Float32Array.of(1) };

  it.each(['state_dict', 'model_state_dict', 'model', 'net'])('is found under %s, beside other tensors', (key) => {
    const tree = new Map<string, unknown>([
      ['best', weight],
      ['epoch', 3],
      [key, new Map([['w', weight]])],
    ]);
    expect(stateDict(tree, 'w.pt')).toEqual(new Map([['w', weight]]));
  });

  it('loses the prefix module. only where every name has it', () => {
    const both = new Map([
      ['module.a', weight],
      ['b', weight],
    ]);
    expect([...stateDict(both, 'w.pt').keys()]).toEqual(['module.a', 'b']);
    expect([...stateDict(new Map([['module.a', weight]]), 'w.pt').keys()]).toEqual(['a']);
  });

  it.each([[null], [weight], [new Map()], [new Map([['state_dict', new Map()]])]])('refuses what has none', (tree) => {
    expect(() => stateDict(tree, 'w.pt')).toThrow(/w\.pt holds no state dict; re-save it/);
  });
});

describe('refuses', () => {
  const remedy = 're-save the weights in PyTorch with torch.save(model.state_dict(), path)';

  it.each([
    ['os.system', `cos\nsystem\n${string('id')}\x85R`],
    ['posix.system', `\x8c\x05posix\x8c\x06system\x93${string('id')}\x85R`],
    ['models.WideResNet', 'cmodels\nWideResNet\n)\x81'],
    ['torch.ComplexFloatStorage', storage(1, 'ComplexFloatStorage')],
  ])('a pickle that asks for %s', (name, pickle) => {
    const message = `w.pt asks for ${name}, which energate does not run; ${remedy}`;
    expect(() => readTorch(archive(pickle), 'w.pt')).toThrow(new DataError(message));
  });

  it('the same in the format before 1.6', () => {
    const header = '\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.';
    const system = `\x80\x02}${string('little_endian')}\x88s.`;
    expect(() => readTorch(bytesOf(`${header}${system}\x80\x02cos\nsystem\n.`), 'w.pt')).toThrow(/asks for os\.system/);
    expect(() => readTorch(bytesOf(`${header}\x80\x02cos\nsystem\n.`), 'w.pt')).toThrow(/asks for os\.system/);
    expect(() => readTorch(bytesOf(`${header}\x80\x02}.`), 'w.pt')).toThrow(/big-endian/);
    expect(() => readTorch(bytesOf('\x80\x02}.\x80\x02}.'), 'w.pt')).toThrow(/a pickle, but not weights/);
  });

  it.each<[string, string, RegExp]>([
    ['an opcode beyond tensors', 'i1\n', /w\.pt has the opcode 0x69, which neither tensors nor arrays need/],
    ['an empty stack', '', /takes a value where there is none/],
    ['a value below a mark', 'N(0', /takes a value where there is none/],
    ['a missing mark', 'Nt', /takes values to a mark/],
    ['a value never stored', 'h\x05', /recalls a value/],
    ['a call of no function', 'N)R', /calls something that is no function/],
    ['a storage called', 'ctorch\nFloatStorage\n)R', /calls something that is no function/],
    ['an append to None', 'NNa', /appends to something other than a list/],
    ['an item of None', 'NNNs', /sets an item of something other than a dict/],
    ['an odd number of items', '}(Nu', /sets an item/],
    ['the state of a list', ']Nb', /sets the state/],
    ['an unknown persistent id', 'NQ', /names its storages in an unknown way/],
    ['a pickle cut short', 'X\xff\xff\xff\x7f', /is cut short at byte/],
    ['an OrderedDict of no pairs', 'ccollections\nOrderedDict\n](Ne\x85R', /OrderedDict of something other than pairs/],
    [
      'one storage of two types',
      `${tensor(0, [4], [1])}${tensor(0, [1], [1], storage(1))}\x86`,
      /storage 0 in two ways/,
    ],
    ['a tensor beyond its storage', tensor(1, [4], [1]), /\[4\] larger than its storage of 4 elements/],
    ['strides beyond its storage', tensor(0, [2, 2], [3, 1]), /larger than its storage/],
    ['an expanded tensor', tensor(0, [255, 255], [0, 0]), /if it is an expanded view, re-save tensor\.contiguous\(\)/],
    ['fewer strides than axes', tensor(0, [2, 2], [1]), /a tensor of 2 axes/],
    ['a tensor without storage', 'ctorch._utils\n_rebuild_tensor_v2\n)R', /a tensor without storage/],
    ['a storage of another length', tensor(0, [1], [1], storage(3)), /storage 0 has 16 bytes, not 12/],
  ])('%s', (_, pickle, message) => {
    expect(() => readTorch(archive(pickle, four), 'w.pt')).toThrow(DataError);
    expect(() => readTorch(archive(pickle, four), 'w.pt')).toThrow(message);
  });

  it('files that would grow many times over', () => {
    const view = tensor(0, [2, 2], [1, 2]);
    const large = archive(`(${view}q\x01${'h\x01'.repeat(10)}t`, four);
    expect(readTorch(large, 'w.pt')).toHaveLength(11);
    const pairs = `](${'N\x89\x86'.repeat(40)}e`;
    const dicts = 'h\x01h\x00R'.repeat(100);
    const bomb = archive(`ccollections\nOrderedDict\nq\x01${pairs}\x85q\x00(${dicts}t`);
    expect(() => readTorch(bomb, 'w.pt')).toThrow(/more dicts than it has room for/);

    const matrix = { 'x/data/0': new Uint8Array(4 * 225) };
    const build = `ctorch._utils\n_rebuild_tensor_v2\nq\x01(${storage(225)}K\x00${tuple(15, 15)}${tuple(1, 15)}\x89Ntq\x02`;
    const views = archive(`${build}(${'h\x01h\x02R'.repeat(200)}t`, matrix);
    expect(() => readTorch(views, 'w.pt')).toThrow(/views far larger than itself/);
  });

  it('a missing storage, a missing pickle, a big-endian file', () => {
    expect(() => readTorch(archive(tensor(0, [4], [1])), 'w.pt')).toThrow(/w\.pt has no entry x\/data\/0/);
    expect(() => readTorch(zipSync({ 'a.npy': new Uint8Array() }), 'w.pt')).toThrow(
      /a zip archive without a data\.pkl/,
    );
    const big = archive('N', { 'x/byteorder': bytesOf('big') });
    expect(() => readTorch(big, 'w.pt')).toThrow(/big-endian/);
  });
});

describe('writeTorch', () => {
  const tensors = new Map<string, NdArray>([
    ['conv1.weight', { dtype: 'float32', shape: [2, 1, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
    ['half', { dtype: 'float16', shape: [1], data: Uint16Array.of(0x3c00) }],
    ['bn1.num_batches_tracked', { dtype: 'int64', shape: [], data: BigInt64Array.of(12n) }],
  ]);

  it('is read back as it was', () => {
    const { tensors: read, format } = readStateDict(writeTorch(tensors), 'w.pt');
    expect(format).toBe('torch');
    expect([...read]).toEqual([...tensors]);
  });

  it('gives equal bytes for equal tensors', () => expect(writeTorch(tensors)).toEqual(writeTorch(new Map(tensors))));

  it('begins every storage at a multiple of 64 bytes', () => {
    const bytes = writeTorch(tensors);
    const weight = readStateDict(bytes, 'w.pt').tensors.get('conv1.weight')!.data;
    expect(weight.buffer).toBe(bytes.buffer);
    expect(weight.byteOffset % 64).toBe(0);
  });

  it('refuses a type that PyTorch does not store', () => {
    const array: NdArray = { dtype: 'uint32', shape: [1], data: Uint32Array.of(1) };
    expect(() => writeTorch(new Map([['x', array]]))).toThrow(/no storage of uint32 for x/);
  });
});

it('readStateDict refuses a file of another kind', () => {
  expect(() => readStateDict(bytesOf('GIF89a, or anything'), 'w.gif')).toThrow(/w\.gif is not a weight file; give a/);
  expect(() => readStateDict(new Uint8Array(), 'w.pt')).toThrow(DataError);
});
