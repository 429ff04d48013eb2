import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { encodeGate } from '../../src/gate/gate-file.js';
import { DATA_SETS } from '../../src/node/datasets.js';
import { reference } from '../support/training.js';
import { inProcess, WEIGHTS, workspace } from './support/workspace.js';

const { path } = workspace();
const formats = (name: string) => fileURLToPath(new URL(`../fixtures/formats/${name}`, import.meta.url));
const info = async (...args: string[]) => JSON.parse((await inProcess(['data', 'info', '--json', ...args])).stdout);

describe('data info', () => {
  it.each<[string, string, object]>([
    ['images with labels', 'svhn.mat', { images: 3, classes: 10, labels: { 0: 1, 1: 1, 9: 1 } }],
    ['images without', 'images.npy', { format: 'NumPy .npy', images: 3, labels: 'none', memory: '0.00922 MB' }],
    [
      'both splits of CIFAR',
      'cifar-10-python.tar.gz',
      { format: 'CIFAR, archive', images: { train: 10, test: 2 }, classes: 10 },
    ],
    ['arrays', 'stored.npz', { format: 'NumPy .npz' }],
    ['one array', 'version1.npy', { format: 'NumPy .npy', arrays: ['array float32 [2, 3, 4]'] }],
  ])('%s', async (_, name, expected) => {
    expect(await info(formats(name))).toMatchObject(expected);
  });

  it('weights, with what they are good for', async () => {
    const { stdout, code } = await inProcess(['data', 'info', WEIGHTS]);
    expect(code).toBe(0);
    expect(stdout).toContain('a WRN-10-1 of 10 classes');
    expect(stdout).toMatch(/usable as +--weights of every command/);
    const views = fileURLToPath(new URL('../fixtures/reference/views.pt', import.meta.url));
    expect(await info(views)).toMatchObject({
      tensors: 2,
      what: expect.stringContaining('not a network that energate runs'),
    });
  });

  it("a safetensors file whose first byte, of its header's length, is that of a zip archive", async () => {
    const tensors = new Map([['x', { dtype: 'float32', shape: [1], data: Float32Array.of(1) } as const]]);
    const bytes = Array.from({ length: 256 }, (_, n) => writeSafetensors(tensors, { note: '.'.repeat(n) })).find(
      (file) => file[0] === 'P'.charCodeAt(0),
    )!;
    writeFileSync(path('p.safetensors'), bytes);
    expect(await info(path('p.safetensors'))).toMatchObject({ format: 'safetensors', tensors: 1 });
  });

  it('a gate, with the fraction that it was asked for', async () => {
    const calibration = { scores: Float64Array.from({ length: 20 }, (_, i) => i) };
    const gate = { network: reference.network(), precision: 'float32', score: 'energy', accept: 0.57 } as const;
    writeFileSync(path('gate.energate'), await encodeGate({ ...gate, calibration }));
    expect((await info(path('gate.energate'))).what).toMatch(/a gate by energy, which accepts 57 % of in-dist/);
  });

  it('an .npz of images, and several at once', async () => {
    const [inside, outside] = await info(path('in.npz'), path('out.npz'));
    expect(inside).toMatchObject({ images: 18 });
    expect(outside).toMatchObject({ images: 30, labels: 'none' });
  });

  it('refuses what it does not know', async () => {
    const { code, stderr } = await inProcess(['data', 'info', fileURLToPath(import.meta.url)]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/data\.test\.ts is not an image set/);
    expect((await inProcess(['data', 'info', path('none')])).stderr).toMatch(/there is no such file/);
  });
});

describe('data fetch', () => {
  it('from a mirror, checked against what is published', async () => {
    const server = createServer((request, response) => {
      if (request.url === '/sets/300K_random_images.npy') response.end(readFileSync(formats('images.npy')));
      else if (request.url === '/sets/test_32x32.mat') response.end(readFileSync(formats('svhn.mat')));
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const mirror = `http://127.0.0.1:${(server.address() as AddressInfo).port}/sets/`;
    const fetched = (...names: string[]) =>
      inProcess(['data', 'fetch', ...names, '--output', path('.'), '--mirror', mirror, '--quiet']);

    const { code, stdout } = await fetched('300k-random-images');
    expect(code).toBe(0);
    expect(stdout).toMatch(/300K_random_images\.npy: 0\.0 MB; no checksum is published for it, nor its size/);
    expect(readFileSync(path('300K_random_images.npy'))).toEqual(readFileSync(formats('images.npy')));

    expect(await fetched('svhn-test')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/test_32x32\.mat serves 1166 bytes, but 64275384 are published/),
    });
    expect((await fetched('dtd')).stderr).toMatch(/dtd-r1\.0\.1\.tar\.gz: the server answers 404/);
    server.close();
  });

  it.each<[string, string[], number, RegExp]>([
    ['a set that it does not know', ['imagenet'], 2, /there is no set imagenet; give cifar10, /],
    ['a mirror that is no address', ['dtd', '--mirror', 'here'], 2, /--mirror here is not an address/],
    [
      'a folder that is not there',
      ['dtd', '--output', '/nowhere'],
      1,
      /--output \/nowhere is not a folder; make it first/,
    ],
  ])('refuses %s', async (_, args, code, message) => {
    const result = await inProcess(['data', 'fetch', ...args]);
    expect(result.code).toBe(code);
    expect(result.stderr).toMatch(message);
  });

  it('names what is published of every set in its help, and where nothing is', async () => {
    for (const { url, md5, size } of Object.values(DATA_SETS)) {
      expect(new URL(url).protocol).toMatch(/^https?:$/);
      if (md5) expect(md5).toMatch(/^[0-9a-f]{32}$/);
      if (size) expect(size).toBeGreaterThan(50e6);
    }
    expect(DATA_SETS['300k-random-images']!.md5).toBeUndefined();
  });
});
