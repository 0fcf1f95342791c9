// A network that can be made bad. The server has done its work all the same when a response is
// lost.

/** What becomes of four responses, in an order that is drawn anew each time. */
const FATES = ["lost", "lost", "late", "late"];

/**
 * Makes the network of the page. `isBad` says how it is when a request leaves. `arrived` is told
 * when the server has responded, whether or not the response then comes through.
 */
export function network(isBad, arrived) {
  let fates = [];
  return {
    /**
     * Begins anew: the next response is lost for certain, because the user of the switch wants to
     * see it.
     */
    startOver() {
      fates = ["lost"];
    },
    /** Sends a request as `fetch` does. */
    async fetch(input, init) {
      const bad = isBad();
      const response = await fetch(input, init);
      arrived();
      if (!bad) return response;
      if (fates.length === 0) fates = shuffled(FATES);
      if (fates.pop() === "lost") {
        await response.arrayBuffer();
        throw new LostResponse();
      }
      await pause(300 + Math.random() * 1700, init?.signal ?? input.signal);
      return response;
    },
  };
}

/**
 * What `fetch` throws when a connection breaks is a `TypeError` with these words, and so is this.
 */
export class LostResponse extends TypeError {
  constructor() {
    super("Failed to fetch");
  }
}

function shuffled(fates) {
  const drawn = fates.map((fate) => ({ fate, place: Math.random() }));
  return drawn.sort((one, other) => one.place - other.place).map(({ fate }) => fate);
}

/** Waits for some milliseconds, or fails as soon as the request is called off. */
export function pause(delay, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(resolve, delay);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
