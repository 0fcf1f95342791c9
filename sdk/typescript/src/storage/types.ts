/** The record of an operation. It contains nothing of the request, and no secret. */
export interface KeyRecord {
  /** The id of the operation, unique in a storage. */
  operation: string;
  /** The idempotency key. */
  key: string;
  /** When the key was made, in milliseconds since 1970. */
  createdAt: number;
  /**
   * How long the server remembers the key, as set in the client that made it, in milliseconds. If
   * absent, the setting of the client that reads the record counts.
   */
  retention?: number;
  /**
   * When the final response came, in milliseconds since 1970. Absent if the outcome is not certain.
   */
  settledAt?: number;
  /** Whether another page or process has the key too. */
  shared?: boolean;
}

/**
 * Stores keys. The client calls a method again if it rejects, or takes longer than two seconds, and
 * does not send a named operation before it succeeds.
 */
export interface KeyStorage {
  /**
   * Stores the record unless its operation has one already, in one atomic step. Resolves with the
   * stored record.
   */
  putIfAbsent(record: KeyRecord): Promise<KeyRecord>;
  /**
   * Adds fields to the record if it has this key, in one atomic step. Resolves with whether it has
   * this key.
   */
  mark(operation: string, key: string, fields: Pick<KeyRecord, "settledAt" | "shared">): Promise<boolean>;
  /**
   * Removes the record if it has this key, in one atomic step. With `unlessShared`, does not remove
   * a `shared` record. Resolves with `true` if no record has this key afterwards.
   */
  remove(operation: string, key: string, unlessShared?: boolean): Promise<boolean>;
  /** All records. */
  list(): Promise<KeyRecord[]>;
}

/** Returns the new record of an operation. If it returns the record before, nothing changes. */
export type Change = (before: KeyRecord | undefined) => KeyRecord | undefined;

/** The part of a storage that differs between the storages of this package. */
export interface Records {
  /**
   * Changes the record of an operation in one atomic step. Resolves with the stored record.
   */
  update(operation: string, change: Change): Promise<KeyRecord | undefined>;
  list(): Promise<unknown[]>;
}

/** A storage over records. */
export function storageOver(records: Records): KeyStorage {
  const has = (record: KeyRecord | undefined, key: string): boolean => record?.key === key;
  return {
    putIfAbsent: async (record) => (await records.update(record.operation, (before) => before ?? record))!,
    mark: async (operation, key, fields) => has(await records.update(operation, (before) => (has(before, key) ? { ...before!, ...fields } : before)), key),
    remove: async (operation, key, unlessShared) =>
      !has(await records.update(operation, (before) => (has(before, key) && !(unlessShared && before!.shared) ? undefined : before)), key),
    list: async () => (await records.list()).filter(isKeyRecord),
  };
}

/** Applies a change: writes or removes the record if it has changed. */
export function changed(found: unknown, operation: string, change: Change, put: (record: KeyRecord) => unknown, remove: () => unknown): KeyRecord | undefined {
  // A malformed record may contain a key that was sent, so it is not overwritten.
  const before = found === undefined ? found : recordOf(operation, found);
  const after = change(before);
  if (after !== before) after ? put(after) : remove();
  return after;
}

/** Whether a value is a key: from 1 to 255 visible ASCII characters. */
export function isKey(value: unknown): value is string {
  return typeof value === "string" && /^[!-~]{1,255}$/.test(value);
}

/** Whether a value has the form of a record. */
export function isKeyRecord(value: unknown): value is KeyRecord {
  const { operation, key, createdAt, settledAt = 0 } = (value ?? {}) as Record<string, unknown>;
  return typeof operation === "string" && isKey(key) && Number.isFinite(createdAt) && Number.isFinite(settledAt);
}

/**
 * Checks that a storage returned a record of this operation, because the key of another operation
 * would bring its response.
 */
export function recordOf(operation: string, given: unknown): KeyRecord {
  if (isKeyRecord(given) && given.operation === operation) return given;
  throw new TypeError("not a record of the storage");
}
