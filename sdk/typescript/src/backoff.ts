import type { Clock } from "./clock.js";
import { retryAfter } from "./retry-after.js";

/** The settings that say how long to wait before a repeat, all in milliseconds. */
export interface Backoff {
  baseDelay: number;
  maxDelay: number;
  maxRetryAfter: number;
}

/**
 * How long to wait before the n-th repeat (n from 1), in milliseconds: a random time up to a bound that doubles (full jitter), or what the
 * last answer asks for, bounded, plus a little: it asked all its clients for the same.
 */
export function waitBefore(repeat: number, settings: Backoff, clock: Clock, headers?: Headers): number {
  const asked = headers && retryAfter(headers, clock.now());
  if (asked !== undefined) return Math.min(asked, settings.maxRetryAfter) + clock.random() * Math.min(settings.baseDelay, settings.maxDelay);
  // Beyond 2^30 the bound has long been reached, and the number stays finite.
  const ceiling = settings.baseDelay * 2 ** Math.min(repeat - 1, 30);
  return clock.random() * Math.min(settings.maxDelay, ceiling);
}
