import { isKeyRecord, type KeyRecord, type KeyStorage } from "./types.js";

/**
 * Keeps keys in IndexedDB. What must be atomic is one transaction, so that all tabs of an origin agree on one key.
 *
 * @param name of the database; default `tower-idempotency`.
 */
export function indexedDbStorage(name = "tower-idempotency"): KeyStorage {
  let connection: Promise<IDBDatabase> | undefined;

  const database = (): Promise<IDBDatabase> => {
    const opening = (connection ??= open(name, () => (connection = undefined)));
    opening.catch(() => (connection = undefined));
    return opening;
  };
  /** Begins a transaction. A connection that the browser has closed behind our back is opened once more. */
  const begin = async (mode: IDBTransactionMode, durability: IDBTransactionDurability): Promise<IDBTransaction> => {
    try {
      return (await database()).transaction(STORE, mode, { durability });
    } catch {
      connection = undefined;
      return (await database()).transaction(STORE, mode, { durability });
    }
  };
  const run = async <T>(mode: IDBTransactionMode, step: (keys: IDBObjectStore, done: (value: T) => void) => void, durability: IDBTransactionDurability = "default"): Promise<T> => {
    const transaction = await begin(mode, durability);
    return new Promise<T>((resolve, reject) => {
      let result: T;
      transaction.oncomplete = () => resolve(result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new DOMException("the transaction was aborted", "AbortError"));
      step(transaction.objectStore(STORE), (value) => (result = value));
    });
  };
  /** Changes a record in the same transaction in which its key was compared. */
  const change = (operation: string, key: string, step: (keys: IDBObjectStore, record: KeyRecord) => void): Promise<void> =>
    run<void>("readwrite", (keys) => {
      const reading = keys.get(operation);
      reading.onsuccess = () => {
        if (isKeyRecord(reading.result) && reading.result.key === key) step(keys, reading.result);
      };
    });

  return {
    putIfAbsent: (record) =>
      run<KeyRecord>(
        "readwrite",
        (keys, done) => {
          const reading = keys.get(record.operation);
          reading.onsuccess = () => {
            if (isKeyRecord(reading.result)) return done(reading.result);
            keys.put(record);
            done(record);
          };
        },
        // The request leaves next: the key must outlive even a loss of power.
        "strict",
      ),
    get: (operation) =>
      run("readonly", (keys, done) => {
        const reading = keys.get(operation);
        reading.onsuccess = () => done(isKeyRecord(reading.result) ? reading.result : undefined);
      }),
    settle: (operation, key, settledAt) =>
      change(operation, key, (keys, record) => {
        if (record.settledAt === undefined) keys.put({ ...record, settledAt });
      }),
    remove: (operation, key) => change(operation, key, (keys) => keys.delete(operation)),
    list: () =>
      run("readonly", (keys, done) => {
        const reading = keys.getAll();
        reading.onsuccess = () => done(reading.result.filter(isKeyRecord));
      }),
  };
}

const STORE = "keys";

function open(name: string, onGone: () => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const opening = globalThis.indexedDB.open(name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "operation" });
    opening.onerror = () => reject(opening.error);
    opening.onblocked = () => reject(new DOMException("another tab holds an older version open", "InvalidStateError"));
    opening.onsuccess = () => {
      const database = opening.result;
      // Another tab wants to delete or upgrade the database: it must not wait for us.
      database.onversionchange = () => {
        database.close();
        onGone();
      };
      database.onclose = onGone;
      resolve(database);
    };
  });
}
