/** How many retries the calls of one client may make together. */
export interface RetryBudget {
  /** Takes one retry. `false`: no retry is left for now. */
  withdraw(): boolean;
}

/**
 * A budget of `perSecond` retries in each second, and of at most ten times as many at once. It
 * protects a server that fails from too many retries. Default: 10 in each second.
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
