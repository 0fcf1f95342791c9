import { memoryStorage } from "./memory.js";
import { within } from "./within.js";
import { isKeyRecord, type KeyRecord, type KeyStorage } from "./types.js";

/** A storage that never fails: what the real one no longer takes is held in memory. */
export interface ResilientStorage extends KeyStorage {
  /** Why the real storage is no longer used; `undefined` while it is. */
  readonly trouble: { error: unknown } | undefined;
}

/**
 * Wraps a storage. From its first failure on (an error, or two seconds without an answer) memory serves, and knows the keys that this page has
 * under way: an operation that has begun keeps its key. The real storage comes back into use with the next page load.
 */
export function resilient(storage: KeyStorage): ResilientStorage {
  const memory = memoryStorage();
  let trouble: { error: unknown } | undefined;

  const tried = async <T>(real: () => Promise<T>, fallback: () => Promise<T>): Promise<T> => {
    if (!trouble) {
      try {
        return await within(LONGEST, real());
      } catch (error) {
        trouble ??= { error };
      }
    }
    return fallback();
  };
  /** Nobody waits for a storage in trouble; but what it does take, the next page load must not find as under way. */
  const hint = async (real: () => Promise<unknown>): Promise<void> => {
    if (trouble) new Promise((resolve) => resolve(real())).catch(() => {});
  };

  return {
    get trouble() {
      return trouble;
    },
    async putIfAbsent(record) {
      const kept = await tried(
        async () => recordOf(record.operation, await storage.putIfAbsent(record)),
        () => memory.putIfAbsent(record),
      );
      const known = await memory.get(kept.operation);
      if (known && known.key !== kept.key) await memory.remove(known.operation, known.key);
      await memory.putIfAbsent(kept);
      return kept;
    },
    get: (operation) =>
      tried(
        async () => {
          const kept = await storage.get(operation);
          return kept == null ? undefined : recordOf(operation, kept);
        },
        () => memory.get(operation),
      ),
    async settle(operation, key, settledAt) {
      await memory.settle(operation, key, settledAt);
      const real = (): Promise<void> => storage.settle(operation, key, settledAt);
      await tried(real, () => hint(real));
    },
    async remove(operation, key) {
      await memory.remove(operation, key);
      const real = (): Promise<void> => storage.remove(operation, key);
      await tried(real, () => hint(real));
    },
    list: () =>
      tried(
        async () => Array.from(await storage.list()).filter(isKeyRecord),
        () => memory.list(),
      ),
  };
}

/** What a storage gave, if it is a record of this operation: another one's key would bring another one's answer. */
function recordOf(operation: string, given: unknown): KeyRecord {
  if (isKeyRecord(given) && given.operation === operation) return given;
  throw new TypeError("the storage gave something that is no record of the operation");
}

/** In milliseconds. */
const LONGEST = 2_000;
