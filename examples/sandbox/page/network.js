// A network that can be made bad: what it loses, the server has done all the same.

/** What becomes of four answers, in an order that is drawn anew each time. */
const FATES = ["lost", "lost", "late", "late"];

/**
 * Gives a `fetch` for the client. `isBad` says how the network is when a request leaves; `arrived` is told when the
 * server has answered, whether or not the answer then comes through.
 */
export function network(isBad, arrived) {
  // The first answer is lost for certain: whoever turns the switch wants to see it.
  let fates = ["lost"];
  return async (input, init) => {
    const bad = isBad();
    const answer = await fetch(input, init);
    arrived();
    if (!bad) return answer;
    if (fates.length === 0) fates = shuffled(FATES);
    if (fates.pop() === "lost") {
      await answer.arrayBuffer();
      throw new LostAnswer("the answer was lost on its way");
    }
    await pause(300 + Math.random() * 1700, init?.signal ?? input.signal);
    return answer;
  };
}

/** What `fetch` throws when a connection breaks is a `TypeError`, and so is this. */
export class LostAnswer extends TypeError {
  name = "LostAnswer";
}

function shuffled(fates) {
  const drawn = fates.map((fate) => ({ fate, place: Math.random() }));
  return drawn.sort((one, other) => one.place - other.place).map(({ fate }) => fate);
}

/** Waits for some milliseconds, or fails as soon as the request is called off. */
function pause(delay, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, delay);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
