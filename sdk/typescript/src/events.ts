import type { Disposition } from "./disposition.js";

/**
 * What happens to a call, told to its `onProgress`. `operation` is the operation's name, or
 * `sha256:` and a digest.
 *
 * - `joined`: the same operation is in flight, or had its response a moment ago; this call gets the
 *   same response.
 * - `storage-waiting`: the storage of keys fails or is slow. Nothing was sent; the client asks it
 *   again after `delay` milliseconds.
 * - `storage-unavailable`: the key could not be stored and is in memory; it does not survive a
 *   reload.
 * - `attempt`: a request leaves; the first has number 1.
 * - `response`: a response came, and this is what it means.
 * - `error`: the attempt ended without a response.
 * - `retry`: there will be another attempt, number `attempt`, after `delay` milliseconds.
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
 * Why there is another attempt: the server still runs the first, the response asks for it, or there
 * was no response.
 */
export type RetryReason = "in-flight" | "status" | "no-response";

/** Told what happens to a call. What it throws, or rejects with, is dropped. */
export type ProgressHook = (event: ProgressEvent) => void;

/** Calls a hook that may be absent, or may throw. */
export function tell(hook: ProgressHook | undefined, event: ProgressEvent): void {
  try {
    // Promises of another realm are promises too.
    Promise.resolve(hook?.(event) as unknown).catch(() => {});
  } catch {
    // An observer must not disturb the call.
  }
}
