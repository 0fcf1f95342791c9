import type { Disposition } from "./disposition.js";

/** What a response or an error means for its operation. */
export interface Outcome {
  disposition: Disposition;
  /**
   * The status of the operation's response. `undefined` if there was no response. If the server did
   * not store that response (`idempotency_result_not_retained`), this is its original status.
   */
  status: number | undefined;
  /**
   * Whether an attempt may have had an effect, but no response reported it. `unknown` without doubt
   * means that nothing happened.
   */
  inDoubt: boolean;
  /** The key. `undefined` if the call ended before a key was chosen. */
  key: string | undefined;
  /** The operation's name, or `sha256:` and a digest. */
  operation: string;
  /** Whether `operation` is a name that the application gave. */
  named: boolean;
  /** How many requests this call sent. */
  attempts: number;
  /** Whether the response is marked as a replay. */
  replayed: boolean;
}

/** An operation whose outcome is not certain. */
export interface PendingOperation {
  /** The operation's name, or `sha256:` and a digest. */
  operation: string;
  /** Whether `operation` is a name that the application gave. */
  named: boolean;
  key: string;
  createdAt: Date;
}

/**
 * What a result of this package means: a `Response`, or the error that a call rejected with. It
 * also finds the result in the `cause` or the `response` of another library's error. `undefined` if
 * the result does not come from a guarded call.
 */
export function outcomeOf(result: unknown): Outcome | undefined {
  return search(result, 9);
}

const outcomes = new WeakMap<object, Outcome | null>();

/**
 * Records what a result means. If one error ends several calls, as the reason of an abort, it means
 * nothing. A primitive cannot carry a record.
 */
export function note<T>(result: T, outcome: Outcome | undefined): T {
  if (outcome && Object(result) === result) {
    const before = outcomes.get(result as object);
    const isSame = before?.key === outcome.key && before?.operation === outcome.operation;
    outcomes.set(result as object, before === undefined || isSame ? outcome : null);
  }
  return result;
}

function search(result: unknown, depth: number): Outcome | undefined {
  if (Object(result) !== result || !depth) return undefined;
  const { cause, response } = result as { cause?: unknown; response?: unknown };
  return outcomes.get(result as object) ?? search(cause, depth - 1) ?? search(response, depth - 1);
}
