import type { Disposition } from "./disposition.js";

/**
 * An event of a call, which its `onProgress` gets. `operation` is the operation's name, or
 * `sha256:` and a digest.
 *
 * - `joined`: the same operation is in flight, or had its response a moment ago. This call gets the
 *   same response.
 * - `storage-waiting`: the storage of keys fails or is slow. Nothing was sent. The client asks the
 *   storage again after `delay` milliseconds.
 * - `storage-unavailable`: the key could not be stored, so it is only in memory. It does not
 *   survive a reload.
 * - `attempt`: the client sends a request. The first has number 1.
 * - `response`: a response arrived, with its disposition.
 * - `error`: the attempt ended without a response.
 * - `retry`: the client makes another attempt, number `attempt`, after `delay` milliseconds.
 * - `settled`: the response is final.
 */
export type ProgressEvent =
  | { type: "joined"; operation: string }
  | { type: "storage-waiting"; operation: string; delay: number; error: unknown }
  | { type: "storage-unavailable"; operation: string; error: unknown }
  | { type: "attempt"; operation: string; key: string; attempt: number }
  | { type: "response"; operation: string; key: string; attempt: number; status: number; disposition: Disposition; replayed: boolean }
  | { type: "error"; operation: string; key: string; attempt: number; error: unknown }
  | { type: "retry"; operation: string; key: string; attempt: number; delay: number; reason: RetryReason }
  | { type: "settled"; operation: string; key: string };

/**
 * Why there is another attempt: the server still runs the operation, the response asks for a retry,
 * or there was no response.
 */
export type RetryReason = "in-flight" | "status" | "no-response";

/** Gets the events of a call. The client ignores its errors and rejections. */
export type ProgressHook = (event: ProgressEvent) => void;

/** Calls a hook that may be absent, or may throw. */
export function tell(hook: ProgressHook | undefined, event: ProgressEvent): void {
  try {
    // `Promise.resolve` also accepts promises of another realm.
    Promise.resolve(hook?.(event) as unknown).catch(() => {});
  } catch {
    // An observer must not disturb the call.
  }
}
