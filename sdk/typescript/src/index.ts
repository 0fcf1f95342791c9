/**
 * A `fetch` whose POSTs are safe to repeat: one idempotency key per operation, kept until the answer is certain, across retries, double
 * clicks, tabs and reloads.
 *
 * @packageDocumentation
 */
export { createIdempotentFetch, idempotentFetch, type IdempotentFetch, type IdempotentInit } from "./fetch.js";
export type { CallOptions, ClientOptions } from "./options.js";
export type { PendingOperation } from "./operations.js";
export type { ProgressEvent, ProgressHook, RetryReason } from "./events.js";
export { KeyExpiredError, OperationMismatchError, OutcomeUnknownError, type GiveUpReason } from "./errors.js";
export { conclude, isReplay, type Conclusion } from "./conclude.js";
export { derive, type TimeWindow } from "./derive.js";
export { uuidv7 } from "./uuidv7.js";
export { RetryBudget } from "./budget.js";
export type { Clock } from "./clock.js";
export type { KeyRecord, KeyStorage } from "./storage/types.js";
export { memoryStorage } from "./storage/memory.js";
export { localStorageStorage } from "./storage/local.js";
export { indexedDbStorage } from "./storage/indexed-db.js";
export { defaultStorage } from "./storage/default.js";
