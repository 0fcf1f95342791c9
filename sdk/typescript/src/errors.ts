/** What all errors of this package have. */
export abstract class IdempotencyError extends Error {
  constructor(
    message: string,
    /** The operation's name, or `sha256:` and a digest; `undefined` if the error is not about one operation. */
    readonly operation: string | undefined,
    /** The key, if one was chosen. It stays stored, and the same call made later goes on with it. */
    readonly key: string | undefined,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

/** Why no further attempt was made. */
export type GiveUpReason = "total-timeout" | "max-attempts" | "budget" | "retention";

/**
 * The call ended after at least one attempt, and the server may or may not have done the operation. Make the same call later: it goes on under the
 * same key. `cause` is the last attempt's error.
 */
export class OutcomeUnknownError extends IdempotencyError {
  override readonly name = "OutcomeUnknownError";

  constructor(
    operation: string,
    override readonly key: string,
    /** How many attempts were made. */
    readonly attempts: number,
    /** Why no further attempt was made. */
    readonly reason: GiveUpReason,
    cause: unknown,
  ) {
    super(`the outcome is unknown after ${attempts} attempts (${reason})`, operation, key, cause);
  }
}

/**
 * The key cannot be used any more, and nothing was sent. `retention`: the server may have forgotten it. `clock`: it is dated ahead of this
 * machine's clock, so that its age is not known. Find out the outcome in another way, then `forget` the operation.
 */
export class KeyExpiredError extends IdempotencyError {
  override readonly name = "KeyExpiredError";

  constructor(
    operation: string,
    override readonly key: string,
    /** When the key was made. */
    readonly createdAt: Date,
    readonly reason: "retention" | "clock",
  ) {
    const why = reason === "clock" ? "ahead of this clock" : "older than the server remembers keys";
    super(`the stored key is dated ${createdAt.toISOString()}, ${why}`, operation, key);
  }
}

/** The storage of keys does not work, and nothing was sent. `cause` is the storage's error. */
export class KeyStorageError extends IdempotencyError {
  override readonly name = "KeyStorageError";

  constructor(operation: string | undefined, cause: unknown) {
    super("the storage of keys does not work", operation, undefined, cause);
  }
}

/**
 * The server rejected the key itself: it reads another header, or another form. Nothing happened. The message names the `profile` to set.
 */
export class KeyNotUnderstoodError extends IdempotencyError {
  override readonly name = "KeyNotUnderstoodError";

  constructor(
    operation: string,
    override readonly key: string,
    /** The header that carried the key. */
    readonly header: string,
    /** Whether the key was sent in quotes. */
    readonly quoted: boolean,
    /** The server's response: its status and the code of its problem document. */
    readonly response: { status: number; code: string },
    advice: string,
  ) {
    super(`the server did not understand the key, sent ${quoted ? "in quotes" : "bare"} as ${header} (${response.code}): ${advice}`, operation, key);
  }
}

/** The request's body is longer than `maxRequest`, and nothing was sent. */
export class RequestTooLargeError extends IdempotencyError {
  override readonly name = "RequestTooLargeError";

  constructor(
    operation: string,
    /** The length of the body, in bytes. */
    readonly length: number,
    /** The longest one that is sent, in bytes. */
    readonly limit: number,
  ) {
    super(`the body has ${length} bytes, more than maxRequest (${limit})`, operation, undefined);
  }
}

/** Another request is in flight under the same name, and nothing was sent. */
export class OperationMismatchError extends IdempotencyError {
  override readonly name = "OperationMismatchError";

  constructor(operation: string) {
    super("another request (method, address, body or key) is in flight under the same name", operation, undefined);
  }
}
