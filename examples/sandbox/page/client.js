// The client of the page, created from the settings of the server.

import { createIdempotentFetch } from "/tower-idempotency.js";
import { pause } from "/page/network.js";

/** After this many milliseconds the client gives up and reports it. The key stays. */
export const TOTAL_TIME = 60_000;

const AGAIN = 1_000;

/**
 * Requests the settings of the server until it returns them. A key in a form that the server does
 * not read is worse than no key.
 */
export async function askSettings() {
  for (;;) {
    try {
      const response = await fetch("/settings", { cache: "no-store", redirect: "error" });
      const settings = response.ok ? await response.json() : undefined;
      if (settings?.profile) return settings;
    } catch {
      // The server is unreachable, or another program responds.
    }
    await pause(AGAIN);
  }
}

/** Creates a client whose keys this server reads, with the retention of the server. */
export function clientFor({ profile, retention_ms: retention }, fetch) {
  return createIdempotentFetch({ profile, retention, fetch, totalTimeout: TOTAL_TIME });
}

/** Waits for a promise. Fails as soon as the call is stopped. */
export function until(signal, promise) {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    promise.then(resolve, reject);
  });
}
