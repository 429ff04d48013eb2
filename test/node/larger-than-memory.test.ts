import { spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateSync } from 'node:zlib';
import { zipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { gatherImages, type ImageSource, isInMemory, loadImages } from '../../src/data/image-set.js';
import { writeNpy } from '../../src/formats/npy.js';
import { encodePng } from '../../src/formats/png.js';
import { describeFile } from '../../src/node/describe.js';
import { readImageSet } from '../../src/node/images.js';
import { tar, tarEntry } from '../formats/support/cifar.js';
import { expectRefusal } from '../support/refusal.js';

let folder: string;
/** tsx keeps things there, too. */
const spools = () => readdirSync(join(folder, 'spool')).filter((name) => name.startsWith('energate'));
let room = Number.POSITIVE_INFINITY;
vi.mock('node:fs/promises', async (original) => ({
  ...(await original<object>()),
  statfs: async () => ({ bavail: room, bsize: 1 }),
}));
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'energate-'));
  mkdirSync(join(folder, 'spool'));
  vi.stubEnv('TMPDIR', join(folder, 'spool'));
});
afterAll(() => {
  expect(spools(), 'no temporary file is left').toEqual([]);
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/formats/${name}`, import.meta.url));
const images = readFileSync(fixture('images.npy'));
const labels = writeNpy({ dtype: 'int64', shape: [3], data: BigInt64Array.of(2n, 0n, 1n) });
const npz = (level: 0 | 6) => zipSync({ 'images.npy': images, 'labels.npy': labels }, { level });

describe('a file whose images are more than memory holds gives what one in memory does', () => {
  it.each<[string, () => Uint8Array]>([
    ['deflated.npz', () => npz(6)],
    ['stored.npz', () => npz(0)],
    ['zip64.npz', () => readFileSync(fixture('zip64.npz'))],
    ['svhn.mat', () => readFileSync(fixture('svhn.mat'))],
    ['svhn-v6.mat', () => readFileSync(fixture('svhn-v6.mat'))],
  ])('%s', async (name, make) => {
    const path = join(folder, name);
    writeFileSync(path, make());
    const source = (await readImageSet(path, { inMemory: 2 })) as ImageSource;
    expect(isInMemory(source)).toBe(false);
    const set = await loadImages(await readImageSet(path));
    expect(await loadImages(source)).toEqual(set);
    const rows = Uint32Array.of(2, 0, 2);
    expect(await gatherImages(source, rows)).toEqual(await gatherImages(set, rows));

    const bytes = readFileSync(path);
    for (const damage of [
      bytes.subarray(0, bytes.length >> 1),
      bytes.map((byte, i) => (i === bytes.length >> 2 ? byte ^ 1 : byte)),
    ]) {
      if (name === 'svhn-v6.mat' && damage.length === bytes.length) continue; // it has no checksum
      writeFileSync(path, damage);
      await expectRefusal(readImageSet(path, { inMemory: 0 }), /damaged|cut short/);
    }
  });

  it('is refused before it is unpacked where the disk has no room', async () => {
    const path = join(folder, 'room.mat');
    copyFileSync(fixture('svhn.mat'), path);
    room = 9000;
    await expectRefusal(
      readImageSet(path, { inMemory: 0 }),
      /room\.mat cannot be unpacked into .*spool: the disk is full; free some space .* set TMPDIR to a folder with room/,
    );
    room = Number.POSITIVE_INFINITY;
  });
});

describe('more pictures than memory holds', () => {
  const names = ['b/2.png', 'a/3.png', 'b/1.png', 'a/1.png'];
  const pixels = (n: number) => Uint8Array.from({ length: 3072 }, (_, i) => (n * 59 + i * 7) % 256);
  const pictures = names.map((_, n) => Buffer.from(encodePng(pixels(n), 32, 32)));
  const expected = {
    count: 4,
    labels: Int32Array.of(0, 0, 1, 1),
    classNames: ['a', 'b'],
    images: Buffer.concat([3, 1, 2, 0].map(pixels)),
  };

  it('of a folder are decoded when they are asked for, once', async () => {
    const path = join(folder, 'pictures');
    for (const [n, name] of names.entries()) {
      mkdirSync(join(path, name, '..'), { recursive: true });
      writeFileSync(join(path, name), pictures[n]!);
    }
    const source = (await readImageSet(path, { inMemory: 3 })) as ImageSource;
    expect(isInMemory(source)).toBe(false);
    const { images, ...properties } = expected;
    expect(source).toMatchObject(properties);
    expect(Buffer.from(await source.gather(Uint32Array.of(3, 0, 3)))).toEqual(
      Buffer.concat([pixels(0), pixels(3), pixels(0)]),
    );
    rmSync(join(path, 'b/2.png'));
    expect(Buffer.from(await source.read(0, 4)), 'the last is kept').toEqual(images);
    room = 2 * 3072;
    const few = (await readImageSet(path, { inMemory: 2 })) as ImageSource;
    expect(await few.read(0, 2), 'where there is room for two').toHaveLength(room);
    room = Number.POSITIVE_INFINITY;

    writeFileSync(join(path, 'b/2.png'), pictures[0]!.subarray(0, 80));
    const damaged = (await readImageSet(path, { inMemory: 3 })) as ImageSource;
    expect(Buffer.from(await damaged.read(0, 3))).toEqual(images.subarray(0, 3 * 3072));
    await expectRefusal(damaged.read(3, 1), /b\/2\.png cannot be decoded .*: the file is damaged/);
  });

  it.each([0, 2, 3])('of an archive are kept in a temporary file, beyond %i', async (inMemory) => {
    const path = join(folder, 'pictures.tar');
    writeFileSync(path, tar(...names.map((name, n) => tarEntry(`x/${name}`, pictures[n]!))));
    const source = (await readImageSet(path, { inMemory })) as ImageSource;
    expect(isInMemory(source)).toBe(false);
    const { images, ...set } = await loadImages(source);
    expect({ ...set, images: Buffer.from(images) }).toEqual({
      ...expected,
      name: 'pictures',
      source: path,
      height: 32,
      width: 32,
    });
    const rows = Uint32Array.of(2, 0, 2);
    expect(await source.gather(rows)).toEqual(await gatherImages(await readImageSet(path), rows));
  });
});

const COUNT = 220_000;
const SIZE = COUNT * 3072;

/** Images of 60 random bytes and many of one, as zlib packs them: 676 MB in a few. @param start what comes before */
function packed(start: Uint8Array): Buffer {
  const block = Buffer.alloc(3072 * 1000);
  for (let at = 0; at < block.length; at += 3072) randomFillSync(block, at, 60);
  const whole = Buffer.concat([start, ...Array.from({ length: COUNT / 1000 }, () => block)]);
  return deflateSync(whole, { level: 1, maxOutputLength: 2 ** 31 });
}

/** Reads the set in a process of its own, and says how many bytes it took. */
const PROGRAM = `
  import { readImageSet } from ${JSON.stringify(new URL('../../src/node/images.ts', import.meta.url).href)};
  const before = process.memoryUsage().rss;
  let most = 0;
  const timer = setInterval(() => { most = Math.max(most, process.memoryUsage().rss - before); }, 5);
  const set = await readImageSet(process.argv[1]);
  let sum = 0;
  for (let start = 0; start < set.count; start += 1000) sum += (await set.read(start, 1000)).length;
  clearInterval(timer);
  console.log(JSON.stringify({ count: set.count, sum, most }));
`;

function run(path: string) {
  const child = spawn(process.execPath, [
    '--import',
    import.meta.resolve('tsx'),
    '--input-type=module',
    '-e',
    PROGRAM,
    path,
  ]);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += data));
  child.stderr.on('data', (data) => (stderr += data));
  const ended = new Promise<string>((resolve) => child.on('close', () => resolve(stdout || stderr)));
  return { child, ended };
}

/** Temporary files without a name that a process has open. */
const unnamedFiles = (pid: number) =>
  readdirSync(`/proc/${pid}/fd`)
    .map((file) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${file}`);
      } catch {
        return ''; // closed meanwhile
      }
    })
    .filter((target) => /\/spool\/energate-.* \(deleted\)$/.test(target));

it('676 MB in a compressed .mat are read in flat memory, and nothing is left when that is interrupted', async () => {
  const u32 = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);
  const head = Buffer.concat([u32(14, SIZE + 64, 6, 8, 9, 0, 5, 16, 32, 32, 3, COUNT), u32(1, 1, 0x58, 0, 2, SIZE)]);
  head.writeUInt32LE(head.length - 8 + SIZE, 4);
  const data = packed(head);
  const path = join(folder, 'large.mat');
  writeFileSync(path, Buffer.concat([readFileSync(fixture('svhn.mat')).subarray(0, 128), u32(15, data.length), data]));

  const { most, ...read } = JSON.parse(await run(path).ended);
  expect(read).toEqual({ count: COUNT, sum: SIZE });
  expect(most / 1e6).toBeLessThan(150);
  expect(await describeFile(path)).toMatchObject({
    images: COUNT,
    memory: '676 MB, read in pieces as they are needed',
  });

  if (process.platform !== 'linux') return; // there is no /proc to look into
  const { child, ended } = run(path);
  await vi.waitFor(() => expect(unnamedFiles(child.pid!)).toHaveLength(1), { timeout: 20_000, interval: 20 });
  child.kill('SIGINT');
  expect(await ended, 'stopped before it was done').toBe('');
  expect(spools()).toEqual([]);
}, 60_000);
