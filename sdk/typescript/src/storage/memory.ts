import { changed, storageOver, type KeyRecord, type KeyStorage, type Records } from "./types.js";

/**
 * Stores keys in memory, for double clicks and retries. They do not survive a reload, and other
 * tabs do not see them.
 */
export function memoryStorage(): KeyStorage {
  return storageOver(memoryRecords());
}

export function memoryRecords(): Records {
  const records = new Map<string, KeyRecord>();
  return {
    update: async (operation, change) => changed(records.get(operation), operation, change, (record) => records.set(operation, record), () => records.delete(operation)),
    list: async () => [...records.values()],
  };
}
