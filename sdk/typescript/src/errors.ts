/** The base class of all errors of this package. */
export class IdempotencyError extends Error {
  /**
   * The operation's name, or `sha256:` and a digest. `undefined` if the error is not about one
   * operation.
   */
  declare readonly operation: string | undefined;
  /** The key, if one was chosen. It stays stored, and the same call uses it later. */
  declare readonly key: string | undefined;

  constructor(message: string, fields: object) {
    super(message);
    Object.assign(this, fields);
  }
}

/** Why no further attempt was made. */
export type GiveUpReason = "total-timeout" | "max-attempts" | "budget" | "retention";

/**
 * The call ended after at least one attempt, and the server may or may not have done the operation.
 * Make the same call later: it uses the same key. `cause` is the error of the last attempt.
 */
export class OutcomeUnknownError extends IdempotencyError {
  override readonly name = "OutcomeUnknownError";
  declare readonly operation: string;
  declare readonly key: string;
  /** How many attempts were made. */
  declare readonly attempts: number;
  /** Why no further attempt was made. */
  declare readonly reason: GiveUpReason;
}

/**
 * The key can no longer be used, and nothing was sent. Find out how the operation ended, then
 * `forget` it. `reason` says why:
 *
 * - `retention`: the server may have forgotten the key.
 * - `clock`: the key is dated ahead of the clock of this machine, so its age is not known.
 */
export class KeyExpiredError extends IdempotencyError {
  override readonly name = "KeyExpiredError";
  declare readonly operation: string;
  declare readonly key: string;
  /** When the key was made. */
  declare readonly createdAt: Date;
  declare readonly reason: "retention" | "clock";
}

/** The storage of keys failed, and nothing was sent. `cause` is the error of the storage. */
export class KeyStorageError extends IdempotencyError {
  override readonly name = "KeyStorageError";
}

/**
 * The server rejected the key itself, because it reads another header or another form. This attempt
 * did nothing. Set the `profile` of the client by the documentation of the server.
 */
export class KeyNotUnderstoodError extends IdempotencyError {
  override readonly name = "KeyNotUnderstoodError";
  declare readonly operation: string;
  declare readonly key: string;
  /** The header that carried the key. */
  declare readonly header: string;
  /** Whether the key was sent in quotes. */
  declare readonly quoted: boolean;
  /** The status of the response. */
  declare readonly status: number;
  /** The `code` in the problem document of the response. */
  declare readonly code: string;
}

/** The body of the request is longer than `maxRequest`, and nothing was sent. */
export class RequestTooLargeError extends IdempotencyError {
  override readonly name = "RequestTooLargeError";
  declare readonly operation: string;
  /** The length of the body, in bytes. */
  declare readonly length: number;
  /** The longest body that is sent, in bytes. */
  declare readonly limit: number;
}

/**
 * Another request (method, address, body or key) is in flight under the same name, and nothing was
 * sent.
 */
export class OperationMismatchError extends IdempotencyError {
  override readonly name = "OperationMismatchError";
  declare readonly operation: string;
}
