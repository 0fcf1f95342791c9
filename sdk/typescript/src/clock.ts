import { until } from "./attempt.js";

/** The source of time and random numbers of a client. Only tests have a reason to replace it. */
export interface Clock {
  /**
   * The time of day, in milliseconds since 1970. The client judges the age of a stored key by it.
   */
  now(): number;
  /**
   * Milliseconds since some moment, which never decrease. The client measures waits and timeouts by
   * it.
   */
  elapsed(): number;
  /** A number from 0 (inclusive) to 1 (exclusive). */
  random(): number;
  /**
   * Resolves after this many milliseconds. Rejects with the reason of the signal as soon as it is
   * aborted.
   */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>;
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  random: () => Math.random(),
  sleep: (milliseconds, signal) => {
    let timer: ReturnType<typeof setTimeout>;
    const sleeping = until(signal, () => new Promise<void>((resolve) => (timer = setTimeout(resolve, Math.min(milliseconds, LONGEST_TIMER)))));
    return sleeping.finally(() => clearTimeout(timer));
  },
};

/** The longest timer: 31 bits of milliseconds, 24 days. A longer timer ends at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;
