import { indexedDbRecords } from "./indexed-db.js";
import { memoryRecords } from "./memory.js";
import { storageOver, type KeyStorage, type Records } from "./types.js";

/**
 * IndexedDB, or memory if IndexedDB does not exist or the browser forbids it. The choice is made at
 * the first use, when the database opens.
 *
 * A database that is slow, full or broken may contain keys, so it is not replaced by memory. The
 * next use then makes the choice again.
 */
export function defaultStorage(): KeyStorage {
  const [indexedDb, memory] = [indexedDbRecords(), memoryRecords()];
  let chosen: Records | undefined;
  const records = async (): Promise<Records> => {
    if (chosen) return chosen;
    const found = globalThis.indexedDB && (await indexedDb.open().catch(unlessForbidden)) ? indexedDb : memory;
    return (chosen ??= found);
  };
  return storageOver({
    update: async (operation, change) => (await records()).update(operation, change),
    list: async () => (await records()).list(),
  });
}

function unlessForbidden(error: Error): undefined {
  if (!/^(Security|InvalidState|NotSupported)Error$/.test(error.name)) throw error;
}
