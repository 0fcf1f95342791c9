import { indexedDbStorage } from "./indexed-db.js";
import { localStorageStorage } from "./local.js";
import { memoryStorage } from "./memory.js";
import type { KeyStorage } from "./types.js";

/**
 * The first storage that exists: IndexedDB, `localStorage` (in pages), memory. The choice is made at the first use, by reading. A storage that is
 * slow, full or broken exists: the keys that it contains must not be missed. Only one that does not exist, or that the browser forbids, makes
 * room for the next.
 */
export function defaultStorage(): KeyStorage {
  const [indexedDb, local, memory] = [indexedDbStorage(), localStorageStorage(), memoryStorage()];
  let chosen: KeyStorage | undefined;
  const choose = async (): Promise<KeyStorage> => {
    if (await exists(() => globalThis.indexedDB, indexedDb.open)) return indexedDb;
    // Node has a `localStorage` of its own that no two processes should share, and that complains when it is looked at.
    if (typeof document !== "undefined" && (await exists(() => globalThis.localStorage, () => local.get("")))) return local;
    return memory;
  };
  const storage = async (): Promise<KeyStorage> => {
    const found = chosen ?? (await choose());
    return (chosen ??= found);
  };
  return {
    putIfAbsent: async (record) => (await storage()).putIfAbsent(record),
    get: async (operation) => (await storage()).get(operation),
    settle: async (operation, key, settledAt) => (await storage()).settle(operation, key, settledAt),
    remove: async (operation, key) => (await storage()).remove(operation, key),
    list: async () => (await storage()).list(),
  };
}

/** Whether a storage exists and may be used. Rejects if that cannot be told. */
async function exists(look: () => unknown, read: () => Promise<unknown>): Promise<boolean> {
  try {
    if (look() == null) return false;
    await read();
    return true;
  } catch (error) {
    if (["SecurityError", "InvalidStateError", "NotSupportedError"].includes((error as Error | undefined)?.name ?? "")) return false;
    throw error;
  }
}
