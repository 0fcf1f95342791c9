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
  const candidates: KeyStorage[] = [];
  if (typeof globalThis.indexedDB !== "undefined") candidates.push(indexedDbStorage());
  // Node has a `localStorage` of its own that no two processes should share, and that complains when it is looked at.
  if (typeof document !== "undefined") candidates.push(localStorageStorage());
  for (const candidate of candidates) if (await works(candidate)) return candidate;
  return memoryStorage();
}

/** Whether a storage takes a record and gives it back. */
async function works(storage: KeyStorage): Promise<boolean> {
  const probe = { operation: "probe", key: uuidv7(), createdAt: Date.now() };
  try {
    // Shorter than the bound of one operation, so that a storage that hangs does not make the client give up the others too.
    await within(400, storage.putIfAbsent(probe));
    await within(400, storage.remove(probe.operation, probe.key));
    return true;
  } catch {
    return false;
  }
}
