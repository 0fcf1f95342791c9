import { changed, storageOver, type KeyStorage, type Records } from "./types.js";

/**
 * Stores keys in IndexedDB. Each atomic step is one transaction, so that all tabs of an origin
 * agree on one key.
 *
 * @param name of the database; default `tower-idempotency`.
 */
export function indexedDbStorage(name?: string): KeyStorage {
  return storageOver(indexedDbRecords(name));
}

/** `open` rejects with the error of the browser. */
export function indexedDbRecords(name = "tower-idempotency"): Records & { open(): Promise<unknown> } {
  let connection: Promise<IDBDatabase> | undefined;

  /**
   * The open database. It is opened again if it failed, was closed, or did not open within two
   * seconds.
   */
  const database = (): Promise<IDBDatabase> => {
    if (connection) return connection;
    const gone = (): void => void (connection === opening && (connection = undefined));
    const late = setTimeout(gone, LONGEST_OPEN);
    const opening = new Promise<IDBDatabase>((resolve, reject) => {
      const request = globalThis.indexedDB.open(name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "operation" });
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const { result } = request;
        clearTimeout(late);
        // Another tab that deletes or upgrades the database must not wait for this one.
        result.onversionchange = () => {
          result.close();
          gone();
        };
        result.onclose = gone;
        resolve(result);
      };
    });
    opening.catch(gone);
    return (connection = opening);
  };
  const once = async <T, R>(step: (keys: IDBObjectStore) => IDBRequest<T>, use: (found: T, keys: IDBObjectStore) => R): Promise<R> => {
    // The client sends the request next, so the key must be stored even after a loss of power.
    const transaction = (await database()).transaction(STORE, "readwrite", { durability: "strict" });
    return new Promise((resolve, reject) => {
      let result: R;
      transaction.oncomplete = () => resolve(result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
      const keys = transaction.objectStore(STORE);
      const reading = step(keys);
      reading.onsuccess = () => (result = use(reading.result, keys));
    });
  };
  /**
   * Runs a transaction. If it fails, runs it once more on a new connection, because the browser may
   * have closed the old one.
   */
  const run: typeof once = (step, use) =>
    once(step, use).catch(() => {
      connection?.then((old) => old.close(), () => {});
      connection = undefined;
      return once(step, use);
    });

  return {
    open: database,
    update: (operation, change) =>
      run(
        (keys) => keys.get(operation) as IDBRequest<unknown>,
        (found, keys) => changed(found, operation, change, (record) => keys.put(record), () => keys.delete(operation)),
      ),
    list: () => run((keys) => keys.getAll(), (found) => found),
  };
}

const STORE = "keys";
/** In milliseconds. */
const LONGEST_OPEN = 2_000;
