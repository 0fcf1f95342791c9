/**
 * A `fetch` whose POSTs are safe to retry: one idempotency key per operation, stored until the
 * outcome is certain, across retries, double clicks, tabs and reloads.
 *
 * @packageDocumentation
 */
export { createIdempotentFetch, idempotentFetch, type IdempotentFetch, type IdempotentInit } from "./fetch.js";
export type { CallOptions, ClientOptions, FetchInit, FetchInput, FetchLike } from "./options.js";
export type { ProgressEvent, ProgressHook, RetryReason } from "./events.js";
export { outcomeOf, type Outcome, type PendingOperation } from "./outcome.js";
export { dispositionOf, isReplay, type Disposition, type Judged, type Profile } from "./disposition.js";
export {
  IdempotencyError, KeyExpiredError, KeyNotUnderstoodError, KeyStorageError, OperationMismatchError, OutcomeUnknownError, RequestTooLargeError, type GiveUpReason,
} from "./errors.js";
export { isNetworkError } from "./network.js";
export { retryBudget, type RetryBudget } from "./budget.js";
export type { Clock } from "./clock.js";
export type { KeyRecord, KeyStorage } from "./storage/types.js";
export { memoryStorage } from "./storage/memory.js";
export { indexedDbStorage } from "./storage/indexed-db.js";
export { defaultStorage } from "./storage/default.js";
