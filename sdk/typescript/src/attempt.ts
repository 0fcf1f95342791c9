import { Answer } from "./answer.js";
import type { Clock } from "./clock.js";
import { send, type Repeatable } from "./request.js";

/** How an attempt ended. */
export type End = { answer: Answer } | { error: unknown };

/**
 * Makes one attempt, bounded in time (milliseconds). Every way in which it can end without an answer is one: whether the server has done
 * its part cannot be known.
 */
export async function attempt(request: Repeatable, fetcher: typeof fetch, limit: number, clock: Clock, signal: AbortSignal): Promise<End> {
  const connection = new AbortController();
  const watch = new AbortController();
  const stop = (): void => connection.abort(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  clock.sleep(limit, watch.signal).then(
    () => connection.abort(new DOMException("the attempt took too long", "TimeoutError")),
    () => {},
  );
  try {
    const answer = await until(connection.signal, async () => Answer.read(await send(request, fetcher, connection.signal)));
    // What is handed on as it comes can still be stopped by those who read it.
    if (answer.isWhole) signal.removeEventListener("abort", stop);
    return { answer };
  } catch (error) {
    signal.removeEventListener("abort", stop);
    return { error };
  } finally {
    watch.abort();
  }
}

/** Runs a step, but no longer than until the signal is aborted: then rejects with its reason, whatever the step does. */
export function until<T>(signal: AbortSignal | undefined, step: () => Promise<T>): Promise<T> {
  if (!signal) return step();
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = (): void => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    step()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", stop));
  });
}
