/**
 * How many retries the calls of one client may make together, so that a server that is down is not
 * buried under them. It is a bucket of retries: each call and each second add to it, up to those of
 * ten seconds. With the defaults: 20 % of the calls, 10 a second, and 100 at once.
 */
export class RetryBudget {
  readonly #share: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  #left: number;
  #filledAt: number;

  /**
   * @param options `share`: retries per call, default 0.2. `perSecond`: retries besides, per
   * second, default 10. `now`: milliseconds, for tests.
   *
   * @throws RangeError if one of them is negative or not a number.
   */
  constructor({ share = 0.2, perSecond = 10, now = () => performance.now() }: { share?: number; perSecond?: number; now?: () => number } = {}) {
    if (!(share >= 0 && perSecond >= 0)) throw new RangeError("share and perSecond are numbers from 0 on");
    this.#share = share;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#left = perSecond * WINDOW;
    this.#filledAt = now();
  }

  /** Notes a call, which earns its share of a retry. */
  deposit(): void {
    this.#fill(this.#share);
  }

  /** Takes one retry. `false`: none is left for now. */
  withdraw(): boolean {
    this.#fill(0);
    // Shares such as 0.2 do not add up exactly.
    const may = this.#left > 1 - 1e-9;
    if (may) this.#left--;
    return may;
  }

  #fill(amount: number): void {
    const now = this.#now();
    const earned = amount + ((now - this.#filledAt) / 1000) * this.#perSecond;
    this.#left = Math.min(this.#left + earned, Math.max(this.#perSecond, 1) * WINDOW);
    this.#filledAt = now;
  }
}

/** In seconds. */
const WINDOW = 10;
