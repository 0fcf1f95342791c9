// The behaviour of many apps: no key, and a retry when no response arrives.

import { pause } from "/page/network.js";

const MOST_TRIES = 4;
const WAIT = 500;

/**
 * Sends a request up to four times, until a response is not a server error. It reports each try to
 * `told` by `begins` and `ends`, and each wait by `waits`.
 */
export async function naiveFetch(send, address, init, told) {
  for (let attempt = 1; ; attempt += 1) {
    const id = told.begins();
    const last = attempt === MOST_TRIES;
    try {
      const response = await send(address, init);
      told.ends(id, { type: "response", status: response.status, redirected: response.redirected });
      if (response.status < 500 || last) return response;
    } catch (error) {
      init.signal.throwIfAborted();
      told.ends(id, { type: "error", error });
      if (last) throw error;
    }
    told.waits(WAIT * attempt);
    await pause(WAIT * attempt, init.signal);
  }
}
