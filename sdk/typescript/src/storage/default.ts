import { indexedDbRecords } from "./indexed-db.js";
import { memoryRecords } from "./memory.js";
import { storageOver, type KeyStorage, type Records } from "./types.js";

/**
 * IndexedDB, or memory where there is none. The choice is made at the first use, by reading. A
 * database that is slow, full or broken exists, and the keys that it contains must not be missed:
 * then the choice is made again by the next use. Memory is taken only where IndexedDB does not
 * exist, or where the browser forbids it.
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
