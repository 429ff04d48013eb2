import { createHash } from 'node:crypto';
import { expect, it, vi } from 'vitest';
import { UsageError } from '../../src/errors.js';
import { sha256 } from '../../src/formats/digest.js';

it('sha256 is that of the bytes that a view shows', async () => {
  const numbers = Float64Array.of(1, 2, 3, 4).subarray(1, 3);
  expect(await sha256(numbers)).toBe(createHash('sha256').update(numbers).digest('hex'));
});

it('sha256 says what a page lacks that browsers do not trust', async () => {
  vi.stubGlobal('crypto', {});
  await expect(sha256(new Uint8Array())).rejects.toThrow(UsageError);
  await expect(sha256(new Uint8Array())).rejects.toThrow(/over https or on localhost/);
  vi.unstubAllGlobals();
});
