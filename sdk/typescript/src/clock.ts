import { until } from "./attempt.js";

/** Where a client takes time and chance from. Only tests have a reason to replace it. */
export interface Clock {
  /** The time of day, in milliseconds since 1970. Ages of stored keys are judged by it. */
  now(): number;
  /** Milliseconds since some moment, never going back. Waits and bounds are judged by it. */
  elapsed(): number;
  /** A number from 0 (inclusive) to 1 (exclusive). */
  random(): number;
  /**
   * Resolves after so many milliseconds; rejects with the signal's reason as soon as that is
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

/** Timers count in 31 bits of milliseconds, 24 days, and what is more ends at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;
