import { indexedDbRecords } from "./indexed-db.js";
import { localRecords } from "./local.js";
import { memoryRecords } from "./memory.js";
import { storageOver, type KeyStorage, type Records } from "./types.js";

/**
 * The first storage that exists: IndexedDB, `localStorage` (in pages), memory. The choice is made
 * at the first use, by reading. A storage that is slow, full or broken exists, and the keys that it
 * contains must not be missed: the choice is made again by the next use. The next storage is taken
 * only where one does not exist, or the browser forbids it.
 */
export function defaultStorage(): KeyStorage {
  const [indexedDb, local, memory] = [indexedDbRecords(), localRecords(), memoryRecords()];
  let chosen: Records | undefined;
  const choose = async (): Promise<Records> => {
    if (await exists(() => globalThis.indexedDB && indexedDb.open())) return indexedDb;
    // Node has a `localStorage` of its own that no two processes should share, and that complains
    // when it is looked at.
    if (typeof document !== "undefined" && (await exists(() => globalThis.localStorage && (globalThis.localStorage.getItem(""), true)))) return local;
    return memory;
  };
  const records = async (): Promise<Records> => {
    const found = chosen ?? (await choose());
    return (chosen ??= found);
  };
  return storageOver({
    update: async (operation, change) => (await records()).update(operation, change),
    list: async () => (await records()).list(),
  });
}

/** Whether a storage exists and may be used. Rejects if that cannot be told. */
async function exists(read: () => unknown): Promise<boolean> {
  try {
    return !!(await read());
  } catch (error) {
    if (/^(Security|InvalidState|NotSupported)Error$/.test((error as Error).name)) return false;
    throw error;
  }
}
