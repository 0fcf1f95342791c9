import type { Conclusion } from "./conclude.js";

/**
 * What happens to a call, told to its `onProgress`. `operation` is the name given to the operation, or the digest that stands for it.
 *
 * - `joined`: the same operation is under way, or was answered a moment ago; this call shares its answer.
 * - `storage-unavailable`: keys could not be stored and are held in memory; they do not survive a reload.
 * - `attempt`: a request leaves; the first has number 1.
 * - `answer`: an answer came, and this is what it means.
 * - `error`: the attempt ended without an answer.
 * - `retry`: there will be another attempt, number `attempt`, after `delay` milliseconds.
 * - `settled`: the answer is definitive, and the key has served.
 */
export type ProgressEvent =
  | { type: "joined"; operation: string }
  | { type: "storage-unavailable"; operation: string; error: unknown }
  | { type: "attempt"; operation: string; key: string; attempt: number }
  | { type: "answer"; operation: string; key: string; attempt: number; status: number; conclusion: Conclusion; replayed: boolean }
  | { type: "error"; operation: string; key: string; attempt: number; error: unknown }
  | { type: "retry"; operation: string; key: string; attempt: number; delay: number; reason: RetryReason }
  | { type: "settled"; operation: string; key: string };

/** Why there is another attempt: the first is still running at the server, its status asks for it, or there was no answer. */
export type RetryReason = "in-flight" | "status" | "no-answer";

/** Told what happens to a call. What it throws, or rejects with, is dropped: it cannot disturb the call. */
export type ProgressHook = (event: ProgressEvent) => void;

/** Calls a hook that may be absent, or may throw. */
export function tell(hook: ProgressHook | undefined, event: ProgressEvent): void {
  try {
    const result: unknown = hook?.(event);
    // Promises of another realm are promises too.
    if (result) Promise.resolve(result).catch(() => {});
  } catch {
    // The call is worth more than what its observer made of it.
  }
}
