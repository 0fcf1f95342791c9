/** What all errors of this package have. */
export class IdempotencyError extends Error {
  /**
   * The operation's name, or `sha256:` and a digest; `undefined` if the error is not about one
   * operation.
   */
  declare readonly operation: string | undefined;
  /** The key, if one was chosen. It stays stored, and the same call made later goes on with it. */
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
 * Make the same call later: it goes on under the same key. `cause` is the last attempt's error.
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
 * The key cannot be used any more, and nothing was sent. `retention`: the server may have forgotten
 * it. `clock`: it is dated ahead of this machine's clock, so that its age is not known. Find out
 * the outcome in another way, then `forget` the operation.
 */
export class KeyExpiredError extends IdempotencyError {
  override readonly name = "KeyExpiredError";
  declare readonly operation: string;
  declare readonly key: string;
  /** When the key was made. */
  declare readonly createdAt: Date;
  declare readonly reason: "retention" | "clock";
}

/** The storage of keys does not work, and nothing was sent. `cause` is the storage's error. */
export class KeyStorageError extends IdempotencyError {
  override readonly name = "KeyStorageError";
}

/**
 * The server rejected the key itself: it reads another header, or another form. This attempt did
 * nothing. Set the client's `profile` by the server's documentation.
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
  /** The code of its problem document. */
  declare readonly code: string;
}

/** The request's body is longer than `maxRequest`, and nothing was sent. */
export class RequestTooLargeError extends IdempotencyError {
  override readonly name = "RequestTooLargeError";
  declare readonly operation: string;
  /** The length of the body, in bytes. */
  declare readonly length: number;
  /** The longest one that is sent, in bytes. */
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
