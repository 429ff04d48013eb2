import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'fflate';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DataError } from '../../src/errors.js';
import { writeNpz } from '../../src/formats/npz.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { checkWritable, readFileBytes, readImageSet, readStateDict, writeFileAtomic } from '../../src/node/files.js';
import { cifar10Files, tar, tarEntry } from '../formats/support/cifar.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'energate-'));
});
afterEach(() => rm(folder, { recursive: true }));

const bytes = Uint8Array.of(1, 2, 3);

async function expectRefusal(action: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await action.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(DataError);
  expect(error.message).toMatch(message);
  expect(error.message).not.toContain('\n');
}

describe('readFileBytes', () => {
  it('gives the bytes', async () => {
    await writeFile(join(folder, 'a'), bytes);
    expect([...(await readFileBytes(join(folder, 'a')))]).toEqual([1, 2, 3]);
  });

  it('refuses what is not a file', async () => {
    await writeFile(join(folder, 'a'), bytes);
    await expectRefusal(readFileBytes(join(folder, 'x.npz')), /cannot read .*x\.npz: there is no such file or folder/);
    await expectRefusal(readFileBytes(folder), /cannot read .*: it is a folder; give the name of a file/);
    await expectRefusal(readFileBytes(join(folder, 'a', 'b')), /a part of its path is a file/);
  });
});

describe('writeFileAtomic', () => {
  it('writes, and replaces, and leaves nothing beside', async () => {
    const path = join(folder, 'out');
    await writeFileAtomic(path, bytes);
    await writeFileAtomic(path, Uint8Array.of(9));
    expect([...(await readFile(path))]).toEqual([9]);
    expect(await readdir(folder)).toEqual(['out']);
  });

  it('leaves nothing when it fails', async () => {
    await mkdir(join(folder, 'taken'));
    await expectRefusal(writeFileAtomic(join(folder, 'taken'), bytes), /cannot write .*taken: it is a folder/);
    await expectRefusal(writeFileAtomic(join(folder, 'no', 'out'), bytes), /cannot write .*out: there is no such/);
    expect(await readdir(folder)).toEqual(['taken']);
  });
});

describe('checkWritable', () => {
  it('accepts a new and an existing file, and touches neither', async () => {
    await writeFile(join(folder, 'old'), bytes);
    await checkWritable(join(folder, 'old'));
    await checkWritable(join(folder, 'new'));
    expect(await readdir(folder)).toEqual(['old']);
    expect([...(await readFile(join(folder, 'old')))]).toEqual([1, 2, 3]);
  });

  it('refuses a folder, a missing folder, a file as folder, a device, and where nothing can be made', async () => {
    await writeFile(join(folder, 'file'), bytes);
    await expectRefusal(checkWritable(folder), /cannot write .*: it is a folder; give the name of a file/);
    await expectRefusal(checkWritable(join(folder, 'no', 'out')), /there is no such file or folder; check the path/);
    await expectRefusal(checkWritable(join(folder, 'file', 'out')), /a part of its path is a file/);
    await expectRefusal(checkWritable('/dev/null'), /it is not a regular file/);
    await expectRefusal(checkWritable('/proc/out'), /cannot write \/proc\/out: /);
  });
});

describe('readImageSet', () => {
  it('an .npz, whatever its name', async () => {
    const images = { dtype: 'uint8', shape: [1, 32, 32, 3], data: new Uint8Array(3072).fill(5) } as const;
    await writeFile(join(folder, 'set'), writeNpz({ images }));
    expect(await readImageSet(join(folder, 'set'))).toMatchObject({ name: 'set', count: 1, images: images.data });
  });

  it('CIFAR as a folder and as a .tar.gz, either split', async () => {
    const files = cifar10Files();
    const archive = join(folder, 'cifar.tar.gz');
    await writeFile(archive, gzipSync(tar(...[...files].map(([name, data]) => tarEntry(name, data)))));
    await mkdir(join(folder, 'cifar'));
    for (const [name, data] of files) await writeFile(join(folder, 'cifar', name), data);
    for (const path of [archive, join(folder, 'cifar')]) {
      expect(await readImageSet(path)).toMatchObject({ name: 'cifar-train', count: 10 });
      expect((await readImageSet(path, { split: 'test' })).labels).toEqual(Int32Array.of(8, 9));
    }
  });

  it('refuses something else', async () => {
    await writeFile(join(folder, 'a.png'), bytes);
    await expectRefusal(readImageSet(join(folder, 'a.png')), /a\.png is not an image set; give a \.npz file, or CIFAR/);
    await expectRefusal(readImageSet(join(folder, 'none')), /there is no such file or folder/);
    await expectRefusal(readImageSet(folder), /holds no train split of CIFAR's binary version/);
  });
});

describe('readStateDict', () => {
  it('safetensors and PyTorch by content, not by name', async () => {
    const tensors = new Map([['w', { dtype: 'float32', shape: [2], data: Float32Array.of(1, 2) } as const]]);
    await writeFile(join(folder, 'weights.pt'), writeSafetensors(tensors, { a: 'b' }));
    const read = await readStateDict(join(folder, 'weights.pt'));
    expect(read).toEqual({ tensors, metadata: { a: 'b' }, format: 'safetensors' });

    const torch = await readStateDict(fileURLToPath(new URL('../fixtures/reference/views.pt', import.meta.url)));
    expect(torch).toMatchObject({ metadata: {}, format: 'torch' });
    expect([...torch.tensors.keys()]).toEqual(['a', 'b']);
  });

  it('refuses a missing file and another kind', async () => {
    await expectRefusal(readStateDict(join(folder, 'none.pt')), /cannot read .*none\.pt/);
    await writeFile(join(folder, 'a'), bytes);
    await expectRefusal(readStateDict(join(folder, 'a')), /a is not a weight file/);
  });
});
