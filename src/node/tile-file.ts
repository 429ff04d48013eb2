import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TileMemory } from '../gpu/tuner.js';
import { cacheFolder } from './cache.js';
import { writeFileAtomic } from './files.js';

/**
 * A memory for a `Tuner` in a JSON file, by default in the user's cache folder. A file that is missing or damaged is empty.
 * @throws DeviceError where no path is given and there is no folder to write to
 */
export async function tileFile(path?: string): Promise<TileMemory> {
  const file = path ?? join(await cacheFolder(), 'tiles.json');
  const read = async () => new Map(Object.entries(await parsed(file)));
  const entries = await read();
  return {
    get: async (key) => entries.get(key),
    async set(key, value) {
      entries.set(key, value);
      // Another process may have added to it meanwhile.
      const all = new Map([...(await read()), ...entries]);
      await writeFileAtomic(file, new TextEncoder().encode(`${JSON.stringify(Object.fromEntries(all), null, 1)}\n`));
    },
  };
}

async function parsed(file: string): Promise<Record<string, string>> {
  try {
    const content: unknown = JSON.parse(await readFile(file, 'utf8'));
    return typeof content === 'object' && content !== null ? (content as Record<string, string>) : {};
  } catch {
    return {};
  }
}
