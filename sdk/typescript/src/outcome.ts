import type { Disposition } from "./disposition.js";

/** What a response or an error means for its operation. */
export interface Outcome {
  disposition: Disposition;
  /** `undefined` if the call ended before a key was chosen. */
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

/**
 * What a result of this package means: a `Response`, or the error that a call rejected with. Also finds it behind the `cause` or the
 * `response` of another library's error. `undefined`: the result is not of a guarded call.
 */
export function outcomeOf(result: unknown): Outcome | undefined {
  return search(result, 9);
}

const outcomes = new WeakMap<object, Outcome>();

/** Notes what a result means. A primitive, which can be the reason of an abort, has no place for it. */
export function note<T>(result: T, outcome: Outcome): T {
  if (isObject(result)) outcomes.set(result, outcome);
  return result;
}

function search(result: unknown, depth: number): Outcome | undefined {
  if (!isObject(result) || depth === 0) return undefined;
  const { cause, response } = result as { cause?: unknown; response?: unknown };
  return outcomes.get(result) ?? search(cause, depth - 1) ?? search(response, depth - 1);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
