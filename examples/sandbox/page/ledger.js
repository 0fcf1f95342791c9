// The ledger of the server: the payments that were really made.

/** The longest time of a read, and the delay before a failed read is retried. */
const PATIENCE = 5_000;
const AGAIN = 2_000;

/** Creates a reader of the ledger. `changed` is called after each read. */
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
   * Reads the ledger. The read begins after this call, so it includes all payments made before.
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
