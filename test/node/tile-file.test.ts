import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { tileFile } from '../../src/node.js';

const folder = await mkdtemp(join(tmpdir(), 'energate-tiles-'));
afterAll(() => rm(folder, { recursive: true }));

it('keeps what it was given, for itself and the next', async () => {
  const path = join(folder, 'kept.json');
  const memory = await tileFile(path);
  expect(await memory.get('a')).toBeUndefined();
  await memory.set('a', '1');
  await memory.set('b', '2');
  expect(await memory.get('a')).toBe('1');
  expect(await (await tileFile(path)).get('b')).toBe('2');
});

it('keeps what another process added meanwhile', async () => {
  const path = join(folder, 'shared.json');
  const [one, other] = [await tileFile(path), await tileFile(path)];
  await one.set('a', '1');
  await other.set('b', '2');
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ a: '1', b: '2' });
});

it.each(['{"a": "1"', '[]', 'null', ''])('begins anew where the file holds %j', async (content) => {
  const path = join(folder, 'damaged.json');
  await writeFile(path, content);
  const memory = await tileFile(path);
  expect(await memory.get('a')).toBeUndefined();
  await memory.set('a', '2');
  expect(await (await tileFile(path)).get('a')).toBe('2');
});
