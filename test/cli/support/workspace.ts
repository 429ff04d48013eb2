import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, vi } from 'vitest';
import type { ImageSet } from '../../../src/data/image-set.js';
import type { NdArray } from '../../../src/formats/array.js';
import { writeNpz } from '../../../src/formats/npz.js';
import { data } from '../../support/training.js';

/** PyTorch's own file of the golden network. */
export const WEIGHTS = fileURLToPath(new URL('../../fixtures/reference/wrn-10-1.zip.pt', import.meta.url));

export function npzOf({ images, count, labels }: Pick<ImageSet, 'images' | 'count' | 'labels'>): Uint8Array {
  const arrays: Record<string, NdArray> = { images: { dtype: 'uint8', shape: [count, 32, 32, 3], data: images } };
  if (labels) arrays.labels = { dtype: 'int64', shape: [count], data: BigInt64Array.from(labels, BigInt) };
  return writeNpz(arrays);
}

/** A folder for the tests of a file, with the golden images in it. */
export function workspace(): { path(name: string): string } {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'energate-cli-'));
    writeFileSync(join(folder, 'in.npz'), npzOf(data.inDistribution));
    writeFileSync(join(folder, 'out.npz'), npzOf(data.outliers!));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return { path: (name) => join(folder, name) };
}

/** Every file below a folder with its content, folders with none: what is to stay as it is. */
export function contents(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    entries.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path, entry.isFile() ? readFileSync(path, 'latin1') : ''];
    }),
  );
}

/** Runs the command line in this process. */
export async function inProcess(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { main } = await import('../../../src/cli/main.js');
  const lines = { stdout: [] as string[], stderr: [] as string[] };
  const spies = [
    vi.spyOn(console, 'log').mockImplementation((line) => void lines.stdout.push(`${line}\n`)),
    vi.spyOn(console, 'error').mockImplementation((line) => void lines.stderr.push(`${line}\n`)),
  ];
  try {
    const code = await main(args);
    return { code, stdout: lines.stdout.join(''), stderr: lines.stderr.join('') };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
