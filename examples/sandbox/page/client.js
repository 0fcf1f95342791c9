// The client of the page, made by what the server says of itself.

import { createIdempotentFetch } from "/tower-idempotency.js";
import { pause } from "/page/network.js";

/** After so many milliseconds the client gives up, and says so. The key stays. */
export const TOTAL_TIME = 60_000;

const AGAIN = 1_000;

/**
 * Asks the server for its settings until it gives them: a key in a form that it does not read is
 * worse than none.
 */
export async function askSettings() {
  for (;;) {
    try {
      const response = await fetch("/settings", { cache: "no-store", redirect: "error" });
      const settings = response.ok ? await response.json() : undefined;
      if (settings?.profile) return settings;
    } catch {
      // It cannot be reached, or another program responds in its place.
    }
    await pause(AGAIN);
  }
}

/** Makes a client whose keys this server reads, for as long as it remembers them. */
export function clientFor({ profile, retention_ms: retention }, fetch) {
  return createIdempotentFetch({ profile, retention, fetch, totalTimeout: TOTAL_TIME });
}

/** Waits for a promise, or fails as soon as the call is stopped. */
export function until(signal, promise) {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    promise.then(resolve, reject);
  });
}
