import type { Clock } from "./clock.js";

/** The settings that say how long to wait before a retry, all in milliseconds. */
export interface Backoff {
  baseDelay: number;
  maxDelay: number;
  maxRetryAfter: number;
}

/**
 * How long to wait before the n-th retry (n from 1), in milliseconds: a random time up to a bound
 * that doubles (full jitter), or what the last response asks for, bounded, if that is longer. A
 * little is added to the latter, because the server asked all its clients for the same.
 */
export function waitBefore(retry: number, { baseDelay, maxDelay, maxRetryAfter }: Backoff, clock: Clock, asked = 0): number {
  const random = clock.random();
  // Beyond 2^30 the bound has long been reached, and the number stays finite.
  const backoff = random * Math.min(maxDelay, baseDelay * 2 ** Math.min(retry - 1, 30));
  return Math.max(backoff, asked > 0 ? Math.min(asked, maxRetryAfter) + random * Math.min(baseDelay, maxDelay) : 0);
}
