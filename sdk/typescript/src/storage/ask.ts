import type { Clock } from "../clock.js";
import { waitBefore, type Backoff } from "../backoff.js";
import { within } from "./within.js";

/** How long a storage is asked, and who is told that it is asked again. */
export interface Patience {
  clock: Clock;
  call: Backoff;
  deadline: number;
  signal: AbortSignal;
  waiting(error: unknown, delay: number): void;
}

/**
 * Asks a storage until it serves: what fails, or does not end in two seconds, is asked again, and the first that serves counts. All that is asked
 * for twice has the same effect as once. Without patience it is asked once.
 *
 * @throws the storage's last error.
 */
export async function ask<T>(step: () => Promise<T>, patience?: Patience): Promise<T> {
  const asked: Promise<T>[] = [];
  for (let number = 1; ; number++) {
    asked.push(Promise.resolve().then(step));
    try {
      const left = patience ? patience.deadline - patience.clock.elapsed() : LONGEST;
      return await within(Math.min(left, LONGEST), Promise.any(asked));
    } catch (caught) {
      const error: unknown = caught instanceof AggregateError ? caught.errors.at(-1) : caught;
      const delay = patience && waitBefore(number, patience.call, patience.clock);
      patience?.signal.throwIfAborted();
      if (delay === undefined || patience!.clock.elapsed() + delay >= patience!.deadline) throw error;
      patience!.waiting(error, delay);
      await patience!.clock.sleep(delay, patience!.signal);
    }
  }
}

/** In milliseconds. */
const LONGEST = 2_000;
