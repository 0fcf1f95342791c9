import { waitBefore, type Backoff } from "../backoff.js";
import type { Clock } from "../clock.js";

/** How long to ask a storage, and what to call before it is asked again. */
export interface Patience {
  clock: Clock;
  call: Backoff;
  deadline: number;
  signal: AbortSignal;
  waiting(error: unknown, delay: number): void;
}

/**
 * Asks a storage. With patience, it calls the method again if it fails or does not end within two
 * seconds, and the first call that succeeds counts. This is safe because each method of a storage
 * has the same effect twice as once.
 *
 * @throws the last error of the storage.
 */
export async function ask<T>(step: () => Promise<T>, patience?: Patience): Promise<T> {
  const asked: Promise<T>[] = [];
  for (let number = 1; ; number++) {
    const left = patience ? patience.deadline - patience.clock.elapsed() : LONGEST;
    let timer: ReturnType<typeof setTimeout>;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new DOMException("the storage took too long", "TimeoutError")), Math.min(LONGEST, left));
    });
    asked.push((async () => step())());
    try {
      return await Promise.race([late, Promise.any(asked)]);
    } catch (caught) {
      const error: unknown = (caught as AggregateError).errors?.at(-1) ?? caught;
      if (!patience) throw error;
      const { clock, call, deadline, signal, waiting } = patience;
      const delay = waitBefore(number, call, clock);
      signal.throwIfAborted();
      if (clock.elapsed() + delay >= deadline) throw error;
      waiting(error, delay);
      await clock.sleep(delay, signal);
    } finally {
      clearTimeout(timer!);
    }
  }
}

/** In milliseconds. */
const LONGEST = 2_000;
