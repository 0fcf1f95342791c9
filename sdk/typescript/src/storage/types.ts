/** What is stored of an operation: nothing of its request, and no secret. */
export interface KeyRecord {
  /** The id of the operation, unique in a storage. */
  operation: string;
  /** The idempotency key. */
  key: string;
  /** When the key was made, in milliseconds since 1970. */
  createdAt: number;
  /**
   * How long the client that made the key expects the server to remember it, in milliseconds.
   * Absent: as long as the client that reads it does.
   */
  retention?: number;
  /**
   * When the final response came, in milliseconds since 1970. Absent: the outcome is not certain.
   */
  settledAt?: number;
  /** Another page or process has taken up the key, too. */
  shared?: boolean;
}

/**
 * Where keys are stored. A method that rejects, or takes longer than two seconds, is called again
 * before a named operation is sent.
 */
export interface KeyStorage {
  /**
   * Stores the record unless there is one of its operation, in one atomic step, and resolves with
   * the one that is stored then.
   */
  putIfAbsent(record: KeyRecord): Promise<KeyRecord>;
  /**
   * Adds fields to the record if it has this key, in one atomic step, and resolves with whether it
   * has.
   */
  mark(operation: string, key: string, fields: Pick<KeyRecord, "settledAt" | "shared">): Promise<boolean>;
  /**
   * Removes the record if it has this key (with `unlessShared`: and is not `shared`), in one atomic
   * step. Resolves with `true` if no record has this key afterwards.
   */
  remove(operation: string, key: string, unlessShared?: boolean): Promise<boolean>;
  /** All records. */
  list(): Promise<KeyRecord[]>;
}

/** Makes a record out of the one before; the same one changes nothing. */
export type Change = (before: KeyRecord | undefined) => KeyRecord | undefined;

/** What the storages of this package are made of. */
export interface Records {
  /**
   * Changes the record of an operation in one atomic step, and resolves with the one that is stored
   * then.
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

/** Makes a change: writes or removes the record if it became another one. */
export function changed(found: unknown, operation: string, change: Change, put: (record: KeyRecord) => unknown, remove: () => unknown): KeyRecord | undefined {
  // What cannot be read may be a key that was sent: it is not overwritten.
  const before = found === undefined ? found : recordOf(operation, found);
  const after = change(before);
  if (after !== before) after ? put(after) : remove();
  return after;
}

/** What can be a key: from 1 to 255 visible ASCII characters. */
export function isKey(value: unknown): value is string {
  return typeof value === "string" && /^[!-~]{1,255}$/.test(value);
}

/** Whether a value that was read has the form of a record. */
export function isKeyRecord(value: unknown): value is KeyRecord {
  const { operation, key, createdAt, settledAt = 0 } = (value ?? {}) as Record<string, unknown>;
  return typeof operation === "string" && isKey(key) && Number.isFinite(createdAt) && Number.isFinite(settledAt);
}

/**
 * What a storage gave, if it is a record of this operation: another one's key would bring another
 * one's response.
 */
export function recordOf(operation: string, given: unknown): KeyRecord {
  if (isKeyRecord(given) && given.operation === operation) return given;
  throw new TypeError("not a record of the storage");
}
