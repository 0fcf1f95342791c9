import { isKeyRecord, type KeyRecord, type KeyStorage } from "./types.js";

/** The part of the browser's `Storage` that is used. */
export interface StorageItems {
  readonly length: number;
  key(index: number): string | null;
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
  removeItem(name: string): void;
}

/**
 * Stores keys in `localStorage`, one item for each. Two tabs agree on one key where the browser has Web Locks (`navigator.locks`); without
 * them, two that begin the same operation in the same instant may each take its own.
 *
 * @param prefix stands before the names of the items; default `tower-idempotency:`.
 * @param items default: the page's `localStorage`, which must exist when a method is called.
 */
export function localStorageStorage(prefix = "tower-idempotency:", items?: StorageItems): KeyStorage {
  const store = (): StorageItems => items ?? globalThis.localStorage;
  const read = (operation: string): KeyRecord | undefined => {
    const record = parsed(store().getItem(prefix + operation));
    return record?.operation === operation ? record : undefined;
  };
  const write = (record: KeyRecord): void => store().setItem(prefix + record.operation, JSON.stringify(record));

  return {
    putIfAbsent: (record) =>
      alone(prefix, () => {
        const kept = read(record.operation);
        if (!kept) write(record);
        return kept ?? record;
      }),
    get: async (operation) => read(operation),
    settle: (operation, key, settledAt) =>
      alone(prefix, () => {
        const record = read(operation);
        if (record?.key === key && record.settledAt === undefined) write({ ...record, settledAt });
      }),
    remove: (operation, key) =>
      alone(prefix, () => {
        if (read(operation)?.key === key) store().removeItem(prefix + operation);
      }),
    async list() {
      const all = store();
      const names = Array.from({ length: all.length }, (_, index) => all.key(index));
      return names.filter((name) => name?.startsWith(prefix)).flatMap((name) => parsed(all.getItem(name!)) ?? []);
    },
  };
}

/** Runs a step while no other tab does: reading and writing are two steps in `localStorage`. */
async function alone<T>(name: string, step: () => T): Promise<T> {
  const locks = globalThis.navigator?.locks as LockManager | undefined;
  return locks ? await locks.request(name, async () => step()) : step();
}

function parsed(text: string | null): KeyRecord | undefined {
  try {
    const value: unknown = text === null ? undefined : JSON.parse(text);
    return isKeyRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
