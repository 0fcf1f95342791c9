import { vi } from "vitest";
import type { Clock } from "../../src/clock.js";
import type { ProgressEvent } from "../../src/events.js";

/** One request that arrived. */
export interface Sent {
  url: string;
  method: string;
  headers: Headers;
  body: Uint8Array | null;
  signal: AbortSignal;
  init: RequestInit;
}

type Step = Response | Error | ((sent: Sent) => Response | Promise<Response>);

/** A `fetch` that plays a script, its last step for ever, and notes what was sent. */
export function scripted(...steps: Step[]): { fetch: typeof fetch; sent: Sent[]; keys(): (string | null)[] } {
  const sent: Sent[] = [];
  const fetcher = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const body = init.body instanceof Blob ? new Uint8Array(await init.body.arrayBuffer()) : null;
    const request = { url: String(input), method: init.method ?? "GET", headers: new Headers(init.headers), body, signal: init.signal!, init };
    sent.push(request);
    const step = steps[Math.min(sent.length, steps.length) - 1]!;
    if (step instanceof Error) throw step;
    return step instanceof Response ? step.clone() : step(request);
  };
  return { fetch: fetcher as typeof fetch, sent, keys: () => sent.map((one) => one.headers.get("x-idempotency-key")) };
}

/**
 * A clock on which waits take no time but are noted; time goes on only by them, or by hand. Bounds
 * of attempts stay silent.
 */
export function handClock(random = 0.5): Clock & { waits: number[]; time: number } {
  const clock = {
    waits: [] as number[],
    time: Date.UTC(2026, 10, 23, 12),
    now: () => clock.time,
    elapsed: () => clock.time,
    random: () => random,
    sleep: (milliseconds: number, signal: AbortSignal): Promise<void> => {
      // The bound of an attempt is the only sleep that its response ends. The time for the upload
      // of a short body comes on top.
      const bounds = milliseconds >= ATTEMPT && milliseconds < ATTEMPT + 100;
      if (bounds) return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      clock.waits.push(milliseconds);
      clock.time += milliseconds;
      return Promise.resolve();
    },
  };
  return clock;
}

/** The bound of an attempt that a test with {@link handClock} uses. */
export const ATTEMPT = 7_777;

/** Notes events. */
export function noting(): { events: ProgressEvent[]; hook: (event: ProgressEvent) => void; types(): string[] } {
  const events: ProgressEvent[] = [];
  return { events, hook: (event) => void events.push(event), types: () => events.map((event) => event.type) };
}

/** A response with the code of a problem document. */
export function problem(status: number, code: string, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ code }), { status, headers: { "content-type": "application/problem+json", ...headers } });
}

/** A promise, and what settles it. */
export function gate<T = void>(): { opened: Promise<T>; open(value: T): void } {
  let open!: (value: T) => void;
  const opened = new Promise<T>((resolve) => (open = resolve));
  return { opened, open };
}

/** Waits until something is true, which an event of the code under test brings about. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 2_000; tries++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  throw new Error("it never came true");
}

/** Runs a test as in a page: there is a `document`. */
export function asInPage(): void {
  vi.stubGlobal("document", {});
}
