import { changed, storageOver, type KeyRecord, type KeyStorage, type Records } from "./types.js";

/** The part of the browser's `Storage` that is used. */
export interface StorageItems {
  readonly length: number;
  key(index: number): string | null;
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
  removeItem(name: string): void;
}

/**
 * Stores keys in `localStorage`, one item for each. Two tabs agree on one key where the browser has
 * Web Locks (`navigator.locks`); without them, two that begin the same operation in the same
 * instant may each take its own.
 *
 * @param prefix is put before the names of the items; default `tower-idempotency:`.
 * @param items default: the page's `localStorage`, which must exist when a method is called.
 */
export function localStorageStorage(prefix?: string, items?: StorageItems): KeyStorage {
  return storageOver(localRecords(prefix, items));
}

export function localRecords(prefix = "tower-idempotency:", given?: StorageItems): Records {
  const items = (): StorageItems => given ?? globalThis.localStorage;
  return {
    async update(operation, change) {
      const name = prefix + operation;
      const step = async (): Promise<KeyRecord | undefined> => {
        return changed(parsed(items().getItem(name)), operation, change, (record) => items().setItem(name, JSON.stringify(record)), () => items().removeItem(name));
      };
      // Reading and writing are two steps here, and no other tab may come between.
      const locks = globalThis.navigator?.locks as LockManager | undefined;
      return locks ? await locks.request(prefix, step) : step();
    },
    async list() {
      const all = items();
      const names = Array.from({ length: all.length }, (_, index) => all.key(index));
      return names.map((name) => (name?.startsWith(prefix) ? parsed(all.getItem(name)) : undefined));
    },
  };
}

function parsed(text: string | null): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return undefined;
  }
}
