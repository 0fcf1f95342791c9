// A network with a switch for bad conditions. When a response is lost, the server has still done
// its work.

/** The fates of four responses. Their order is random each time. */
const FATES = ["lost", "lost", "late", "late"];

/**
 * Creates the network of the page. `isBad` is its state when a request is sent. `arrived` is called
 * when the server has responded, even if the response is then lost.
 */
export function network(isBad, arrived) {
  let fates = [];
  return {
    /**
     * Starts again. The next response is certainly lost, because the user of the switch wants to
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
 * The same error as from `fetch` when a connection breaks: a `TypeError` with this text.
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

/** Waits for some milliseconds. Fails as soon as the request is cancelled. */
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
