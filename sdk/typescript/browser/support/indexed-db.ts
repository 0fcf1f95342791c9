// Faults of IndexedDB, to be put into a page before its own scripts run. Each function is
// self-contained: the browser gets its text.

/** Opening takes a while longer, as it does while a browser reads its profile from a slow disk. */
export function opensLate(milliseconds: number): void {
  const descriptor = Object.getOwnPropertyDescriptor(IDBRequest.prototype, "onsuccess")!;
  Object.defineProperty(IDBRequest.prototype, "onsuccess", {
    ...descriptor,
    set(this: IDBRequest, listener: ((event: Event) => void) | null) {
      const isOpening = this instanceof IDBOpenDBRequest;
      const later = (event: Event): void => void setTimeout(() => listener?.call(this, event), milliseconds);
      descriptor.set!.call(this, isOpening && listener ? later : listener);
    },
  });
}

/**
 * The next `times` attempts to write fail because the disk is full. The count outlives a reload.
 */
export function isFull(times: number): void {
  const put = IDBObjectStore.prototype.put;
  IDBObjectStore.prototype.put = function (...args) {
    const failed = Number(sessionStorage.getItem("failed") ?? 0);
    if (failed >= times) return put.apply(this, args);
    sessionStorage.setItem("failed", String(failed + 1));
    this.transaction.abort();
    throw new DOMException("The quota has been exceeded.", "QuotaExceededError");
  };
}

/**
 * The next `times` attempts to open the database fail, as they do while its files are damaged or
 * locked.
 */
export function doesNotOpen(times: number): void {
  const open = IDBFactory.prototype.open;
  let failed = 0;
  IDBFactory.prototype.open = function (...args) {
    if (failed >= times) return open.apply(this, args);
    failed += 1;
    const request = open.apply(this, ["another-database", 1]);
    const error = new DOMException("Internal error opening backing store for indexedDB.open.", "UnknownError");
    const made = new EventTarget() as IDBOpenDBRequest;
    Object.assign(made, { error, result: undefined, readyState: "done" });
    request.onsuccess = () => {
      request.result.close();
      const event = new Event("error");
      made.onerror?.call(made, event);
      made.dispatchEvent(event);
    };
    return made;
  };
}

/** Each transaction is aborted with a probability. */
export function failsAtRandom(probability: number): void {
  const transaction = IDBDatabase.prototype.transaction;
  IDBDatabase.prototype.transaction = function (...args) {
    const made = transaction.apply(this, args);
    if (Math.random() < probability) made.abort();
    return made;
  };
}
