import type { CallSettings, ClientSettings } from "./options.js";
import { bytesOf, isReadWhole, responseFor, type Reply } from "./reply.js";
import { send, type Outgoing } from "./request.js";

/** How an attempt ended: with a reply or an error. `again`: another attempt may get a reply. */
export type End = { reply: Reply } | { error: unknown; again: boolean };

/**
 * Makes one attempt, until the deadline at most. If it ends without a response, it is not known
 * what the server did.
 */
export async function attempt(request: Outgoing, { clock, fetch }: ClientSettings, call: CallSettings, deadline: number, signal: AbortSignal): Promise<End> {
  const connection = new AbortController();
  const done = new AbortController();
  const stop = (): void => connection.abort(signal.reason);
  const timeout = new DOMException("no progress in time", "TimeoutError");
  // An upload cannot be observed.
  let progress = clock.elapsed() + Math.floor((request.body?.byteLength ?? 0) / SLOWEST_UPLOAD);
  let reading = false;
  const watch = async (): Promise<void> => {
    for (let left; (left = Math.min(progress + call.attemptTimeout, deadline) - clock.elapsed()) > 0; ) await clock.sleep(left, done.signal);
    connection.abort(timeout);
  };
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  watch().catch(() => {});
  try {
    const response = await until(connection.signal, () => send(request, fetch, connection.signal));
    const { status, headers, arrayBuffer, bodyUsed } = (response ?? {}) as Partial<Response>;
    if (typeof status !== "number" || !headers?.get || !arrayBuffer || bodyUsed) throw new TypeError("fetch did not return a fresh Response");
    progress = clock.elapsed();
    if (!isReadWhole(response)) return { reply: { response } };
    reading = true;
    const bytes = await until(connection.signal, () => bytesOf(response, () => (progress = clock.elapsed())));
    reading = false;
    signal.removeEventListener("abort", stop);
    // A response that cannot be rebuilt for the caller must not settle its key.
    responseFor({ response, bytes });
    return { reply: { response, bytes } };
  } catch (error) {
    signal.removeEventListener("abort", stop);
    return { error, again: reading || error === timeout || call.retryIf(error) };
  } finally {
    done.abort();
  }
}

/**
 * Runs a step until the signal is aborted. Then it rejects with the reason of the signal, whatever
 * the step does.
 */
export function until<T>(signal: AbortSignal | undefined, step: () => Promise<T>): Promise<T> {
  if (!signal) return step();
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    step()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", stop));
  });
}

/** 16 KiB a second, in bytes per millisecond. */
const SLOWEST_UPLOAD = 16.384;
