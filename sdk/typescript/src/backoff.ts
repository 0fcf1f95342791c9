import type { Clock } from "./clock.js";

/** The settings for the wait before a retry, in milliseconds. */
export interface Backoff {
  baseDelay: number;
  maxDelay: number;
  maxRetryAfter: number;
}

/**
 * How long to wait before the n-th retry (n from 1), in milliseconds: a random time up to a limit
 * that doubles (full jitter). If the last response asks for a longer wait, that wait counts, up to
 * its limit. A short random time is added to it, because the server may ask all clients for the
 * same wait.
 */
export function waitBefore(retry: number, { baseDelay, maxDelay, maxRetryAfter }: Backoff, clock: Clock, asked = 0): number {
  const random = clock.random();
  // The exponent is at most 30, so that the number stays finite. The limit is reached long before.
  const backoff = random * Math.min(maxDelay, baseDelay * 2 ** Math.min(retry - 1, 30));
  return Math.max(backoff, asked > 0 ? Math.min(asked, maxRetryAfter) + random * Math.min(baseDelay, maxDelay) : 0);
}
