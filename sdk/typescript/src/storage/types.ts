/** What is stored of an operation: nothing of its request, and no secret. */
export interface KeyRecord {
  /** What stands for the operation, unique in a storage. */
  operation: string;
  /** The idempotency key. */
  key: string;
  /** When the key was made, in milliseconds since 1970. */
  createdAt: number;
  /** When the final response came, in milliseconds since 1970. Absent: the outcome is not certain. */
  settledAt?: number;
}

/**
 * Where keys are stored. A method that rejects, or that takes longer than two seconds, is called again before a named operation is sent.
 */
export interface KeyStorage {
  /** Stores the record unless there is one of its operation, in one atomic step, and resolves with the one that is stored then. */
  putIfAbsent(record: KeyRecord): Promise<KeyRecord>;
  /** The record of an operation. */
  get(operation: string): Promise<KeyRecord | undefined>;
  /** Marks the record as settled if it has this key and is not marked yet; else changes nothing. */
  settle(operation: string, key: string, settledAt: number): Promise<void>;
  /** Removes the record if it has this key; else changes nothing. */
  remove(operation: string, key: string): Promise<void>;
  /** All records. */
  list(): Promise<KeyRecord[]>;
}

/** What can be a key: from 1 to 255 visible ASCII characters. */
export function isKey(value: unknown): value is string {
  return typeof value === "string" && /^[\x21-\x7e]{1,255}$/.test(value);
}

/** Whether a value that was read has the form of a record. */
export function isKeyRecord(value: unknown): value is KeyRecord {
  if (typeof value !== "object" || value === null) return false;
  const { operation, key, createdAt, settledAt } = value as Record<string, unknown>;
  const typed = typeof operation === "string" && isKey(key) && Number.isFinite(createdAt);
  return typed && (settledAt === undefined || Number.isFinite(settledAt));
}

/** What a storage gave, if it is a record of this operation: another one's key would bring another one's response. */
export function recordOf(operation: string, given: unknown): KeyRecord {
  if (isKeyRecord(given) && given.operation === operation) return given;
  throw new TypeError("the storage gave something that is not a record of the operation");
}
