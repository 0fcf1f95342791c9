import { indexedDbStorage } from "./indexed-db.js";
import { localStorageStorage } from "./local.js";
import { memoryStorage } from "./memory.js";
import { within } from "./within.js";
import { uuidv7 } from "../uuidv7.js";
import type { KeyStorage } from "./types.js";

/**
 * The best storage that there is: IndexedDB, else `localStorage` (in pages), else memory. The choice is made at the first use, by trying: in a
 * private window a storage can be there and yet refuse to serve.
 */
export function defaultStorage(): KeyStorage {
  let chosen: Promise<KeyStorage> | undefined;
  const storage = (): Promise<KeyStorage> => (chosen ??= choose());
  return {
    putIfAbsent: async (record) => (await storage()).putIfAbsent(record),
    get: async (operation) => (await storage()).get(operation),
    settle: async (operation, key, settledAt) => (await storage()).settle(operation, key, settledAt),
    remove: async (operation, key) => (await storage()).remove(operation, key),
    list: async () => (await storage()).list(),
  };
}

async function choose(): Promise<KeyStorage> {
  if (typeof globalThis.indexedDB !== "undefined") {
    const storage = indexedDbStorage();
    if (await works(storage, SLOW_START)) return storage;
  }
  // Node has a `localStorage` of its own that no two processes should share, and that complains when it is looked at.
  if (typeof document !== "undefined") {
    const storage = localStorageStorage();
    if (await works(storage, QUICK_START)) return storage;
  }
  return memoryStorage();
}

/**
 * How long each storage may take for its trial, in milliseconds. A cold IndexedDB is slow, and a page that took another one for it would not find
 * its keys there. Together they are shorter than the bound of one operation, so that a storage that hangs does not make the client give up the
 * others too.
 */
const [SLOW_START, QUICK_START] = [1_500, 300];

/** Whether a storage takes a record and gives it back, and does so in time. */
async function works(storage: KeyStorage, limit: number): Promise<boolean> {
  const probe = { operation: "probe", key: uuidv7(), createdAt: Date.now() };
  try {
    await within(limit, storage.putIfAbsent(probe).then(() => storage.remove(probe.operation, probe.key)));
    return true;
  } catch {
    return false;
  }
}
