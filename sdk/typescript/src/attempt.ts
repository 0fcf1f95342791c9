import type { CallSettings, ClientSettings } from "./options.js";
import { bytesOf, isReadWhole, isResponse, Reply } from "./reply.js";
import { send, type Repeatable } from "./request.js";

/** How an attempt ended. `lost`: a response may have been on its way, and a retry gets it. */
export type End = { reply: Reply } | { error: unknown; lost: boolean };

/** Makes one attempt, until the deadline at most. Where it ends without a response, what the server did is not known. */
export async function attempt(request: Repeatable, client: ClientSettings, call: CallSettings, deadline: number, signal: AbortSignal): Promise<End> {
  const { clock, fetch } = client;
  const connection = new AbortController();
  const done = new AbortController();
  const stop = (): void => connection.abort(signal.reason);
  const timeout = new DOMException("the attempt made no progress in time", "TimeoutError");
  // An upload cannot be observed.
  let progress = clock.elapsed() + Math.floor((request.body?.byteLength ?? 0) / SLOWEST_UPLOAD);
  let broken = false;
  const watch = async (): Promise<void> => {
    const left = (): number => Math.min(progress + call.attemptTimeout, deadline) - clock.elapsed();
    for (let wait = left(); wait > 0; wait = left()) await clock.sleep(wait, done.signal);
    connection.abort(timeout);
  };
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  watch().catch(() => {});
  try {
    const response = await until(connection.signal, () => send(request, fetch, connection.signal));
    if (!isResponse(response)) throw new TypeError("`fetch` resolved with something that is not a Response: it has no status, headers.get or arrayBuffer");
    // Some replacements of `fetch` resolve with what `Response.error()` makes.
    if (response.type === "error") throw new TypeError("fetch failed");
    progress = clock.elapsed();
    if (!isReadWhole(response)) return { reply: new Reply(response, undefined) };
    broken = true;
    const bytes = await until(connection.signal, () => bytesOf(response, () => (progress = clock.elapsed())));
    broken = false;
    signal.removeEventListener("abort", stop);
    return { reply: new Reply(response, bytes) };
  } catch (error) {
    signal.removeEventListener("abort", stop);
    return { error, lost: broken || error === timeout || call.retryIf(error) };
  } finally {
    done.abort();
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

/** 16 KiB a second, in bytes per millisecond. */
const SLOWEST_UPLOAD = 16.384;
