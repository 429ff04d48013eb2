import type { TileMemory } from './tuner.js';

const STORE = 'tiles';

/** A memory for a `Tuner` in the browser's IndexedDB, which workers have too. */
export async function tileDatabase(name = 'energate'): Promise<TileMemory> {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await result(opening);
  const store = (mode: IDBTransactionMode) => database.transaction(STORE, mode).objectStore(STORE);
  return {
    get: async (key) => result<string | undefined>(store('readonly').get(key)),
    async set(key, value) {
      await result(store('readwrite').put(value, key));
    },
  };
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
