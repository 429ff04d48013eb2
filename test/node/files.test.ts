import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { checkAppendable, checkWritable, readFileBytes, readStateDict, writeFileAtomic } from '../../src/node/files.js';
import { expectRefusal } from '../support/refusal.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'energate-'));
});
afterEach(() => rm(folder, { recursive: true }));

const bytes = Uint8Array.of(1, 2, 3);

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
    await writeFileAtomic(path, [Uint8Array.of(1, 2), Uint8Array.of(3)]);
    expect([...(await readFile(path))]).toEqual([1, 2, 3]);
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

describe('an output that is an input', () => {
  it('is refused, by whatever name', async () => {
    await writeFile(join(folder, 'in'), bytes);
    await symlink('in', join(folder, 'link'));
    const inputs = [undefined, join(folder, 'none'), join(folder, 'in')];
    for (const name of ['in', 'link']) {
      await expectRefusal(checkWritable(join(folder, name), inputs), /cannot write .*: it is read, as .*in; give/);
      await expectRefusal(checkAppendable(join(folder, name), inputs), /cannot write .*: it is read, as .*in; give/);
    }
    await checkWritable(join(folder, 'none'), inputs);
    await checkAppendable(join(folder, 'out'), inputs);
  });
});

describe('checkAppendable', () => {
  it('accepts a new and an existing file, and a link to either, and leaves all as it was', async () => {
    await writeFile(join(folder, 'old'), bytes);
    await symlink('old', join(folder, 'link'));
    await symlink('new', join(folder, 'dangling'));
    for (const name of ['old', 'new', 'link', 'dangling']) await checkAppendable(join(folder, name));
    expect((await readdir(folder)).sort()).toEqual(['dangling', 'link', 'old']);
    expect([...(await readFile(join(folder, 'old')))]).toEqual([1, 2, 3]);
  });

  it('refuses a folder, a device, and a link to where nothing can be made', async () => {
    await symlink(join('no', 'log'), join(folder, 'dangling'));
    await expectRefusal(checkAppendable(folder), /cannot write .*: it is a folder; give the name of a file/);
    await expectRefusal(checkAppendable('/dev/null'), /it is not a regular file/);
    await expectRefusal(checkAppendable(join(folder, 'dangling')), /cannot write .*dangling: there is no such file/);
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
