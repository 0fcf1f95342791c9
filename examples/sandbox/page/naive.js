// What many apps do: no key, and the request goes out again when no response came.

import { pause } from "/page/network.js";

const MOST_TRIES = 4;
const WAIT = 500;

/**
 * Sends a request up to four times, until a response comes that is not a server error. `told` hears
 * of each try by `begins` and `ends`, and of each wait by `waits`.
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
