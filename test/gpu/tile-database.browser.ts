import { expect, it } from 'vitest';
import { tileDatabase } from '../../src/gpu/tile-database.js';

it('keeps what it was given, for itself and for another page of the same origin', async () => {
  const memory = await tileDatabase('tiles-test');
  expect(await memory.get('a')).toBeUndefined();
  await Promise.all([memory.set('a', '1'), memory.set('b', '2')]);
  await memory.set('a', '3');
  expect(await memory.get('a')).toBe('3');
  const again = await tileDatabase('tiles-test');
  expect([await again.get('a'), await again.get('b')]).toEqual(['3', '2']);
});
