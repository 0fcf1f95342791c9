// The ledger of the server: what was really paid.

/** How long a read may take, and how soon a ledger that could not be read is asked for again. */
const PATIENCE = 5_000;
const AGAIN = 2_000;

/** Makes a ledger to read. `changed` is called after each read. */
export function ledgerOf(changed) {
  let payments;
  let reading;
  let next;
  let timer;

  async function load() {
    clearTimeout(timer);
    try {
      const signal = AbortSignal.timeout(PATIENCE);
      const response = await fetch("/ledger", { cache: "no-store", redirect: "error", signal });
      const list = response.ok ? await response.json() : undefined;
      payments = Array.isArray(list) ? list : undefined;
    } catch {
      payments = undefined;
    }
    if (!payments) timer = setTimeout(read, AGAIN);
  }

  /**
   * Reads it. The read that this call waits for begins after the call, so it sees all that was done
   * before.
   */
  function read() {
    if (reading) {
      next ??= reading.then(() => {
        next = undefined;
        return read();
      });
      return next;
    }
    reading = load().then(() => {
      reading = undefined;
      changed();
    });
    return reading;
  }

  return {
    read,
    /**
     * The payments at the last read, the earliest first. `undefined` if the ledger could not be
     * read.
     */
    get payments() {
      return payments;
    },
  };
}
