import { isKeyRecord, type KeyRecord, type KeyStorage } from "./types.js";

/**
 * Stores keys in IndexedDB. What must be atomic is one transaction, so that all tabs of an origin agree on one key.
 *
 * @param name of the database; default `tower-idempotency`.
 */
export function indexedDbStorage(name = "tower-idempotency"): KeyStorage & { open(): Promise<unknown> } {
  let connection: Promise<IDBDatabase> | undefined;

  /** The open database. A connection that failed, that was closed, or that does not come in two seconds is opened again. */
  const database = (): Promise<IDBDatabase> => {
    if (connection) return connection;
    const gone = (): void => void (connection === opening && (connection = undefined));
    const opening = open(name, gone);
    const late = setTimeout(gone, LONGEST_OPEN);
    opening.then(() => clearTimeout(late), gone);
    return (connection = opening);
  };
  const once = async <T>(mode: IDBTransactionMode, step: Step<T>, durability: IDBTransactionDurability): Promise<T> => {
    const transaction = (await database()).transaction(STORE, mode, { durability });
    return new Promise<T>((resolve, reject) => {
      let result: T;
      transaction.oncomplete = () => resolve(result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new DOMException("the transaction was aborted", "AbortError"));
      step(transaction.objectStore(STORE), (value) => (result = value));
    });
  };
  /** Runs a transaction; once more, on a new connection, if it fails: the browser may have closed the old one. */
  const run = <T>(mode: IDBTransactionMode, step: Step<T>, durability: IDBTransactionDurability = "default"): Promise<T> =>
    once(mode, step, durability).catch(() => {
      connection?.then((database) => database.close(), () => {});
      connection = undefined;
      return once(mode, step, durability);
    });
  /** Changes a record in the same transaction in which its key was compared. */
  const change = (operation: string, key: string, step: (keys: IDBObjectStore, record: KeyRecord) => void): Promise<void> =>
    run<void>("readwrite", (keys) => {
      const reading = keys.get(operation);
      reading.onsuccess = () => {
        if (isKeyRecord(reading.result) && reading.result.key === key) step(keys, reading.result);
      };
    });

  return {
    /** Opens the database; rejects with the browser's error. */
    open: database,
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
        // The request leaves next: the key must survive even a loss of power.
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

type Step<T> = (keys: IDBObjectStore, done: (value: T) => void) => void;

const STORE = "keys";
/** In milliseconds. */
const LONGEST_OPEN = 2_000;

function open(name: string, onGone: () => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const opening = globalThis.indexedDB.open(name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "operation" });
    opening.onerror = () => reject(opening.error);
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
