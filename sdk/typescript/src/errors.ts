/** Why repeating came to an end: the total time, the number of attempts, or the budget that all calls share. */
export type GiveUpReason = "total-timeout" | "max-attempts" | "budget";

/**
 * The call gave up without an answer: nobody knows whether the operation was done. Its key stays: the same call, made later, goes on with it.
 * `cause` is the last attempt's error.
 */
export class OutcomeUnknownError extends Error {
  override readonly name = "OutcomeUnknownError";

  constructor(
    /** The operation's name, or the digest that stands for it. */
    readonly operation: string,
    /** The key under which every attempt was made. */
    readonly key: string,
    /** How many attempts were made. */
    readonly attempts: number,
    /** Why no further attempt was made. */
    readonly reason: GiveUpReason,
    cause: unknown,
  ) {
    super(`the outcome of the operation is unknown after ${attempts} attempts (${reason})`, { cause });
  }
}

/**
 * The key of a named operation is older than the server remembers keys: whether the operation was done can no longer be asked, and
 * nothing was sent. Find out otherwise, then `forget` the operation.
 */
export class KeyExpiredError extends Error {
  override readonly name = "KeyExpiredError";

  constructor(
    /** The operation's name. */
    readonly operation: string,
    /** The key that is too old. */
    readonly key: string,
    /** When the key was made. */
    readonly createdAt: Date,
  ) {
    super(`the key of the operation is from ${createdAt.toISOString()}, longer ago than servers remember`);
  }
}

/** Another request runs under the same named operation; nothing was sent. */
export class OperationMismatchError extends TypeError {
  override readonly name = "OperationMismatchError";

  constructor(
    /** The operation's name. */
    readonly operation: string,
  ) {
    super("another request (method, address, body or key) is in flight under the same name of an operation");
  }
}
