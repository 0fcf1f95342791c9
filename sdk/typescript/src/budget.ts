/** How many retries the calls of one client may make together. */
export interface RetryBudget {
  /** Takes one retry. `false`: none is left for now. */
  withdraw(): boolean;
}

/**
 * A budget of so many retries a second, and of those of ten seconds at once, so that a server that
 * is down is not buried under them. Default: 10 a second.
 */
export function retryBudget(perSecond = 10): RetryBudget {
  const most = perSecond * 10;
  let left = most;
  let filledAt = performance.now();
  return {
    withdraw() {
      const before = filledAt;
      filledAt = performance.now();
      left = Math.min(left + ((filledAt - before) / 1000) * perSecond, most);
      return left >= 1 && !!left--;
    },
  };
}
